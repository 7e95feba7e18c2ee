//! What a caller may say about a document.

use std::collections::BTreeMap;

/// Most pairs of metadata.
pub const METADATA_PAIRS: usize = 32;
/// Longest metadata key, in characters.
pub const METADATA_KEY_CHARS: usize = 64;
/// Longest metadata value, in characters.
pub const METADATA_VALUE_CHARS: usize = 1024;
/// Longest file name, in characters.
pub const FILENAME_CHARS: usize = 255;
/// Longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES: usize = 255;

/// A fact about a document breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {rule}")]
pub struct Broken {
    /// Field of the request.
    pub field: &'static str,
    /// The rule that it breaks.
    pub rule: &'static str,
}

const fn broken(field: &'static str, rule: &'static str) -> Broken {
    Broken { field, rule }
}

/// Checks a file name.
///
/// # Errors
/// [`Broken`] when it is empty, too long or has control characters.
pub fn check_filename(name: &str) -> Result<(), Broken> {
    if name.trim().is_empty() {
        return Err(broken("filename", "must not be empty"));
    }
    if name.chars().count() > FILENAME_CHARS {
        return Err(broken("filename", "must have at most 255 characters"));
    }
    if name.chars().any(char::is_control) {
        return Err(broken("filename", "must not have control characters"));
    }
    Ok(())
}

/// Checks a media type: `type/subtype`, perhaps with parameters.
///
/// # Errors
/// [`Broken`] when it is none.
pub fn check_mime(mime: &str) -> Result<(), Broken> {
    let token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    let essence = mime.split(';').next().unwrap_or_default().trim();
    let holds = mime.len() <= 255
        && mime.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && essence
            .split_once('/')
            .is_some_and(|(kind, sub)| token(kind) && token(sub));
    if holds {
        Ok(())
    } else {
        Err(broken("mime", "must be a media type such as `text/plain`"))
    }
}

/// Checks a language: two or three letters; gives it in lower case.
///
/// # Errors
/// [`Broken`] when it is none.
pub fn check_language(language: &str) -> Result<String, Broken> {
    if (2..=3).contains(&language.len()) && language.bytes().all(|b| b.is_ascii_alphabetic()) {
        Ok(language.to_ascii_lowercase())
    } else {
        Err(broken(
            "language",
            "must be an ISO 639 code of two or three letters",
        ))
    }
}

/// Checks free facts.
///
/// # Errors
/// [`Broken`] when there are too many or one is too long.
pub fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), Broken> {
    if metadata.len() > METADATA_PAIRS {
        return Err(broken("metadata", "must have at most 32 pairs"));
    }
    for (key, value) in metadata {
        let chars = key.chars().count();
        if chars == 0 || chars > METADATA_KEY_CHARS || key.chars().any(char::is_control) {
            return Err(broken(
                "metadata",
                "must have keys of 1 to 64 characters without control characters",
            ));
        }
        if value.chars().count() > METADATA_VALUE_CHARS {
            return Err(broken(
                "metadata",
                "must have values of at most 1,024 characters",
            ));
        }
    }
    Ok(())
}

/// Checks an idempotency key: 1 to 255 visible ASCII characters.
///
/// # Errors
/// [`Broken`] when it is none.
pub fn check_idempotency_key(key: &[u8]) -> Result<(), Broken> {
    if !key.is_empty()
        && key.len() <= IDEMPOTENCY_KEY_BYTES
        && key.iter().all(|byte| (0x21..0x7f).contains(byte))
    {
        Ok(())
    } else {
        Err(broken(
            "idempotency-key",
            "must be 1 to 255 visible ASCII characters",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_ordinary_facts() {
        assert_eq!(check_filename("Отчёт за 2024.pdf"), Ok(()));
        assert_eq!(check_mime("text/plain; charset=utf-8"), Ok(()));
        assert_eq!(check_language("RU"), Ok("ru".into()));
        assert_eq!(
            check_metadata(&BTreeMap::from([("author".into(), "A".into())])),
            Ok(())
        );
        assert_eq!(check_idempotency_key(b"a-1"), Ok(()));
    }

    #[test]
    fn refuses_what_breaks_a_rule() {
        for name in ["", "  ", "a\nb", "a\0b", &"x".repeat(256)] {
            assert!(check_filename(name).is_err(), "{name:?}");
        }
        for mime in [
            "",
            "text",
            "text/",
            "/plain",
            "te xt/plain",
            "text/pl\u{e9}in",
            "a/b/c",
        ] {
            assert!(check_mime(mime).is_err(), "{mime:?}");
        }
        for language in ["", "r", "russ", "р", "r1"] {
            assert!(check_language(language).is_err(), "{language:?}");
        }
        let many: BTreeMap<_, _> = (0..33).map(|n| (n.to_string(), String::new())).collect();
        assert!(check_metadata(&many).is_err());
        assert!(check_metadata(&BTreeMap::from([("k".repeat(65), String::new())])).is_err());
        assert!(check_metadata(&BTreeMap::from([("k".into(), "v".repeat(1025))])).is_err());
        for key in [&b""[..], b"a b", "я".as_bytes(), &[b'x'; 256]] {
            assert!(check_idempotency_key(key).is_err());
        }
    }
}
