use std::collections::HashSet;
use std::fmt;
use std::sync::LazyLock;

use zeroize::Zeroizing;

/// Shortest password in characters.
pub const MIN_CHARS: usize = 8;
/// Longest password in characters.
pub const MAX_CHARS: usize = 128;

/// Passwords that everybody tries first, lower case.
static COMMON: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    include_str!("common_passwords.txt")
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
});

/// The rule that a password breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRule {
    /// Fewer than 8 characters.
    #[error("the password is too short: {MIN_CHARS} characters at least")]
    TooShort,
    /// More than 128 characters.
    #[error("the password is too long: {MAX_CHARS} characters at most")]
    TooLong,
    /// On the list of common passwords, or the e-mail address itself.
    #[error("the password is one of those that are tried first; choose another one")]
    Common,
}

/// A password as it was typed: its exact bytes, erased on drop, never printed.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password that is offered for checking; only its length is limited, so that
    /// nothing huge reaches the hash function.
    ///
    /// # Errors
    /// [`PasswordRule::TooLong`].
    pub fn offered(text: String) -> Result<Self, PasswordRule> {
        let password = Self(Zeroizing::new(text));
        if password.0.chars().count() > MAX_CHARS {
            return Err(PasswordRule::TooLong);
        }
        Ok(password)
    }

    /// Takes a password that is to be set. There are no composition rules.
    ///
    /// # Errors
    /// The [`PasswordRule`] that it breaks; `email_key` is refused as a password.
    pub fn chosen(text: String, email_key: &str) -> Result<Self, PasswordRule> {
        let password = Self::offered(text)?;
        if password.0.chars().count() < MIN_CHARS {
            return Err(PasswordRule::TooShort);
        }
        let folded = Zeroizing::new(password.0.to_lowercase());
        if COMMON.contains(folded.as_str()) || folded.as_str() == email_key {
            return Err(PasswordRule::Common);
        }
        Ok(password)
    }

    /// The exact bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Option<PasswordRule> {
        Password::chosen(text.to_owned(), "ada@example.org").err()
    }

    #[test]
    fn counts_characters_and_not_bytes() {
        assert_eq!(rule("жжжжжжж"), Some(PasswordRule::TooShort));
        assert_eq!(rule("жжжжжжжж"), None);
        assert_eq!(rule(&"ж".repeat(128)), None);
        assert_eq!(rule(&"a".repeat(129)), Some(PasswordRule::TooLong));
    }

    #[test]
    fn refuses_what_is_tried_first() {
        for common in [
            "password1",
            "PassWord1",
            "qwertyuiop",
            "йцукенгш",
            "Ada@Example.org",
        ] {
            assert_eq!(rule(common), Some(PasswordRule::Common), "{common}");
        }
    }

    #[test]
    fn keeps_the_exact_bytes_and_prints_none() {
        let password = Password::chosen("  spaces stay  ".to_owned(), "").unwrap();
        assert_eq!(password.as_bytes(), b"  spaces stay  ");
        assert_eq!(format!("{password:?}"), "Password(***)");
    }

    #[test]
    fn the_list_holds_a_few_hundred_that_the_length_rule_lets_through() {
        assert!(COMMON.len() >= 300, "{}", COMMON.len());
        for word in COMMON.iter() {
            assert!(
                word.chars().count() >= MIN_CHARS,
                "{word} is refused for its length already"
            );
            assert_eq!(*word, word.to_lowercase(), "{word} can never match");
        }
    }
}
