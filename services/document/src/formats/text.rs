use std::borrow::Cow;

use super::{ExtractError, Extracted, Limits, Rejection};

const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";

/// Decodes a text file: UTF-8 with or without byte order mark, or UTF-16 with one.
pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Rejection> {
    let text = if let Some(rest) = bytes.strip_prefix(b"\xff\xfe") {
        Cow::Owned(decode_utf16(rest, u16::from_le_bytes)?)
    } else if let Some(rest) = bytes.strip_prefix(b"\xfe\xff") {
        Cow::Owned(decode_utf16(rest, u16::from_be_bytes)?)
    } else {
        let skipped = if bytes.starts_with(UTF8_BOM) {
            UTF8_BOM.len()
        } else {
            0
        };
        let body = bytes.get(skipped..).unwrap_or_default();
        Cow::Borrowed(
            std::str::from_utf8(body)
                .map_err(|error| Rejection::InvalidUtf8(skipped + error.valid_up_to()))?,
        )
    };
    match text.find('\0') {
        Some(offset) => Err(Rejection::NulByte(offset)),
        None => Ok(text),
    }
}

fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Rejection> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Rejection::InvalidUtf8(bytes.len()));
    }
    let mut text = String::with_capacity(bytes.len());
    let mut offset = 2;
    for decoded in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        let letter = decoded.map_err(|_| Rejection::InvalidUtf8(offset))?;
        offset += letter.len_utf16() * 2;
        text.push(letter);
    }
    Ok(text)
}

/// Plain text is its own text.
pub(super) fn extract(text: String, limits: Limits) -> Result<Extracted, ExtractError> {
    check_size(&text, limits)?;
    Ok(Extracted {
        text,
        ..Extracted::default()
    })
}

/// Refuses a text beyond the limit.
pub(super) fn check_size(text: &str, limits: Limits) -> Result<(), ExtractError> {
    if text.len() > limits.max_output_bytes {
        return Err(ExtractError::TooLarge(format!(
            "more than {} bytes of text",
            limits.max_output_bytes
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16le(text: &str) -> Vec<u8> {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        [0xff, 0xfe].into_iter().chain(units).collect()
    }

    #[test]
    fn strips_the_byte_order_mark() {
        assert_eq!(decode(b"\xef\xbb\xbfabc").unwrap(), "abc");
        assert_eq!(decode("мир".as_bytes()).unwrap(), "мир");
    }

    #[test]
    fn decodes_utf16_with_a_mark() {
        assert_eq!(decode(&utf16le("Привет 👋")).unwrap(), "Привет 👋");
        assert_eq!(decode(b"\xfe\xff\x04\x3c").unwrap(), "м");
        assert_eq!(decode(b"\xff\xfe\x3c"), Err(Rejection::InvalidUtf8(1)));
        assert_eq!(
            decode(b"\xff\xfe\x00\xd8\x41\x00"),
            Err(Rejection::InvalidUtf8(2))
        );
    }

    #[test]
    fn names_the_first_broken_byte_and_the_first_nul() {
        assert_eq!(decode(b"ab\xffcd"), Err(Rejection::InvalidUtf8(2)));
        assert_eq!(
            decode(b"\xef\xbb\xbfab\xff"),
            Err(Rejection::InvalidUtf8(5))
        );
        assert_eq!(decode(b"ab\0cd"), Err(Rejection::NulByte(2)));
    }
}
