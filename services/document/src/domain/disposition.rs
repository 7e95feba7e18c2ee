//! A safe `Content-Disposition` (RFC 6266) for names that came from outside.

/// The header value that makes a browser save the body under `filename` and never show it.
///
/// The plain `filename` is reduced to harmless ASCII; `filename*` carries the name in UTF-8 without
/// path separators, control characters and direction overrides.
pub fn attachment(filename: &str) -> String {
    let name: String = filename
        .rsplit(['/', '\\'])
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control() && !is_invisible(*c))
        .collect();
    let name = name.trim().trim_start_matches('.');
    let name = if name.is_empty() { "document" } else { name };
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._- ()".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    let mut value = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            value.push(char::from(byte));
        } else {
            value.push('%');
            for half in [byte >> 4, byte & 15] {
                value.push(char::from(b"0123456789ABCDEF"[usize::from(half)]));
            }
        }
    }
    value
}

/// Direction overrides, isolates, zero-width characters, the byte order mark.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_quotes_line_ends_and_overrides_lose_their_teeth() {
        for (name, header) in [
            (
                "notes.md",
                "attachment; filename=\"notes.md\"; filename*=UTF-8''notes.md",
            ),
            (
                "../../etc/passwd",
                "attachment; filename=\"passwd\"; filename*=UTF-8''passwd",
            ),
            (
                "..\\..\\boot.ini",
                "attachment; filename=\"boot.ini\"; filename*=UTF-8''boot.ini",
            ),
            (
                "a\"b\r\nSet-Cookie: x.txt",
                "attachment; filename=\"a_bSet-Cookie_ x.txt\"; filename*=UTF-8''a%22bSet-Cookie%3A%20x.txt",
            ),
            (
                "exe\u{202e}txt.pdf",
                "attachment; filename=\"exetxt.pdf\"; filename*=UTF-8''exetxt.pdf",
            ),
            (
                "я.md",
                "attachment; filename=\"_.md\"; filename*=UTF-8''%D1%8F.md",
            ),
            (
                "..",
                "attachment; filename=\"document\"; filename*=UTF-8''document",
            ),
        ] {
            assert_eq!(attachment(name), header);
        }
    }

    proptest! {
        #[test]
        fn every_name_gives_one_clean_ascii_line(name in any::<String>()) {
            let header = attachment(&name);
            prop_assert!(header.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            prop_assert_eq!(header.matches('"').count(), 2);
        }
    }
}
