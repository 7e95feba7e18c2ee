//! What callers write when they mean a channel.

/// A channel, as a caller names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// By public name.
    Name(Username),
    /// By the hash of an invite link.
    Invite(InviteHash),
}

/// A public name: 4 to 32 of `a-z`, `0-9` and `_`, a letter first; in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Username(String);

/// What follows `t.me/+` in an invite link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteHash(String);

/// The text names no channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing is left without prefixes.
    #[error("the channel's name is empty")]
    Empty,
    /// No public name has this form.
    #[error(
        "a channel's name has 4 to 32 letters, digits and underscores, and begins with a letter"
    )]
    Name,
    /// No invite link has this form.
    #[error("an invite link ends in letters, digits, `-` and `_`")]
    Invite,
    /// A link to something else.
    #[error("only links to t.me and telegram.me name channels")]
    Link,
}

/// Prefixes of links that name channels; without the scheme.
const HOSTS: [&str; 3] = ["t.me/", "telegram.me/", "www.t.me/"];

/// Longest text that is looked at, in bytes.
const LONGEST: usize = 256;

impl Target {
    /// Reads `durov`, `@durov`, `t.me/durov`, `https://t.me/durov`, `https://t.me/s/durov`,
    /// `t.me/+HASH` and `t.me/joinchat/HASH`.
    ///
    /// # Errors
    /// [`TargetError`] that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let text = text.trim();
        if text.len() > LONGEST {
            return Err(TargetError::Name);
        }
        let lower = text.to_ascii_lowercase();
        let scheme = ["https://", "http://"]
            .into_iter()
            .find(|scheme| lower.starts_with(scheme));
        let rest = &text[scheme.map_or(0, str::len)..];
        let host = HOSTS.into_iter().find(|host| {
            rest.get(..host.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(host))
        });
        match (host, scheme) {
            (Some(host), _) => Self::path(&rest[host.len()..]),
            (None, Some(_)) => Err(TargetError::Link),
            (None, None) => match rest.strip_prefix('+') {
                Some(hash) => InviteHash::parse(hash).map(Self::Invite),
                None => Username::parse(rest).map(Self::Name),
            },
        }
    }

    fn path(path: &str) -> Result<Self, TargetError> {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let mut parts = path.trim_end_matches('/').split('/');
        let first = parts.next().unwrap_or_default();
        if let Some(hash) = first.strip_prefix('+') {
            return InviteHash::parse(hash).map(Self::Invite);
        }
        let name = match first {
            "joinchat" => {
                let hash = parts.next().unwrap_or_default();
                return InviteHash::parse(hash).map(Self::Invite);
            }
            // The preview page of a channel.
            "s" => parts.next().unwrap_or_default(),
            name => name,
        };
        Username::parse(name).map(Self::Name)
    }
}

impl Username {
    /// Reads a name with or without `@`.
    ///
    /// # Errors
    /// [`TargetError::Empty`] and [`TargetError::Name`].
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let name = text.strip_prefix('@').unwrap_or(text);
        if name.is_empty() {
            return Err(TargetError::Empty);
        }
        let fits = (4..=32).contains(&name.len())
            && name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        fits.then(|| Self(name.to_ascii_lowercase()))
            .ok_or(TargetError::Name)
    }

    /// The name, without `@`, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl InviteHash {
    fn parse(text: &str) -> Result<Self, TargetError> {
        let fits = (4..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        fits.then(|| Self(text.to_owned()))
            .ok_or(TargetError::Invite)
    }

    /// The hash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The link to a post: by public name, or for members alone by number.
pub fn deep_link(username: Option<&str>, channel: i64, message: i32) -> String {
    match username {
        Some(name) => format!("https://t.me/{name}/{message}"),
        None => format!("https://t.me/c/{channel}/{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_channel_is_understood() {
        for text in [
            "durov",
            "@durov",
            "Durov",
            " durov ",
            "t.me/durov",
            "https://t.me/durov/",
            "http://T.me/durov?x=1",
            "https://t.me/s/durov",
            "telegram.me/durov",
        ] {
            let Ok(Target::Name(name)) = Target::parse(text) else {
                panic!("{text}");
            };
            assert_eq!(name.as_str(), "durov", "{text}");
        }
        for text in ["+AbC-_9", "t.me/+AbC-_9", "https://t.me/joinchat/AbC-_9"] {
            let Ok(Target::Invite(hash)) = Target::parse(text) else {
                panic!("{text}");
            };
            assert_eq!(hash.as_str(), "AbC-_9", "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        for (text, error) in [
            ("", TargetError::Empty),
            ("@", TargetError::Empty),
            ("abc", TargetError::Name),
            ("1durov", TargetError::Name),
            ("du rov", TargetError::Name),
            ("../../etc/passwd", TargetError::Name),
            ("дуров", TargetError::Name),
            ("https://example.org/durov", TargetError::Link),
            ("t.me/+a b c d", TargetError::Invite),
            ("t.me/joinchat/", TargetError::Invite),
        ] {
            assert_eq!(Target::parse(text), Err(error), "{text}");
        }
        assert!(Target::parse(&"a".repeat(10_000)).is_err());
    }

    #[test]
    fn links_lead_to_the_post() {
        assert_eq!(deep_link(Some("durov"), 1, 468), "https://t.me/durov/468");
        assert_eq!(
            deep_link(None, 1_006_503_122, 7),
            "https://t.me/c/1006503122/7"
        );
    }
}
