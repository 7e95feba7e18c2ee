use std::fmt;

use crate::error::Error;

/// Name of a collection: 1 to 64 of `a-z`, `0-9`, `_` and `-`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CollectionName(String);

impl CollectionName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the rule is broken.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if is_name(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::invalid(
                "name",
                "must be 1 to 64 characters of `a-z`, `0-9`, `_` and `-`, and start with a letter or a digit",
            ))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CollectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The rule of collection names and of the names of sparse vectors.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
        && text.as_bytes()[0].is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_plain_names_only() {
        for good in ["chunks", "a", "0-b_c", &"x".repeat(64)] {
            assert!(CollectionName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "_a",
            "A",
            "a b",
            "ä",
            "a/b",
            "a\0",
            &"x".repeat(65),
        ] {
            assert!(CollectionName::parse(bad).is_err(), "{bad}");
        }
    }
}
