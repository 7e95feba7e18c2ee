use std::fmt;

/// Longest address in characters (RFC 5321, 4.5.3.1.3).
const MAX_CHARS: usize = 254;
/// Shortest address in characters.
const MIN_CHARS: usize = 3;

/// The text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address: expected 3 to 254 characters, one `@` inside, no spaces")]
pub struct InvalidEmail;

/// A login name: one `@` with something on both sides, no spaces, no control characters.
///
/// `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Email {
    address: String,
    key: String,
}

impl Email {
    /// Reads an address as it was typed.
    ///
    /// # Errors
    /// [`InvalidEmail`] when it does not look like one.
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        let chars = text.chars().count();
        let well_formed = text
            .split_once('@')
            .is_some_and(|(local, host)| is_part(local) && is_part(host));
        if !(MIN_CHARS..=MAX_CHARS).contains(&chars) || !well_formed {
            return Err(InvalidEmail);
        }
        Ok(Self {
            address: text.to_owned(),
            key: Self::key_of(text),
        })
    }

    /// The form under which an address is unique: lower case.
    pub fn key_of(text: &str) -> String {
        text.to_lowercase()
    }

    /// The address as it was typed.
    pub fn as_str(&self) -> &str {
        &self.address
    }

    /// The form under which it is unique.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What stands before the `@`, at most `max` characters of it.
    pub fn local_part(&self, max: usize) -> String {
        self.address
            .split('@')
            .next()
            .unwrap_or_default()
            .chars()
            .take(max)
            .collect()
    }
}

fn is_part(text: &str) -> bool {
    !text.is_empty()
        && !text.contains(|c: char| c == '@' || c.is_whitespace() || c.is_ascii_control())
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_address_like_text() {
        for good in ["a@b", "ada@example.org", "имя@пример.рф", "A.B+c@x-y.z"] {
            assert_eq!(Email::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        let long = format!("{}@x", "a".repeat(253));
        for bad in [
            "",
            "ab",
            "@b",
            "a@",
            "a@@b",
            "a@b@c",
            "a b@c",
            "a@b\n",
            "a\0@b",
            long.as_str(),
        ] {
            assert_eq!(Email::parse(bad), Err(InvalidEmail), "{bad:?}");
        }
    }

    #[test]
    fn is_unique_without_regard_to_case_and_never_printed() {
        let email = Email::parse("Ada@Example.org").unwrap();
        assert_eq!(email.key(), Email::parse("ada@example.ORG").unwrap().key());
        assert_eq!(format!("{email:?}"), "Email(***)");
        assert_eq!(email.local_part(2), "Ad");
    }
}
