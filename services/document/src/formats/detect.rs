use super::{Format, Rejection, text, zip_guard};

/// Names the format of an upload.
///
/// The file's ending counts before the media type, and the bytes count before both: where they
/// contradict, the file is refused instead of guessed at. A name without an ending and without a
/// media type is judged by its bytes alone.
///
/// # Errors
/// 415 for what is not read or contradicts itself; 422 for empty files and broken text.
pub fn detect(
    filename: &str,
    declared_mime: Option<&str>,
    bytes: &[u8],
) -> Result<Format, Rejection> {
    if bytes.is_empty() {
        return Err(Rejection::Empty);
    }
    let magic = magic(bytes);
    match (declared(filename, declared_mime)?, magic) {
        (Some(Format::Pdf) | None, Some(Magic::Pdf)) => refuse_polyglot(bytes),
        (Some(Format::Docx), Some(Magic::Zip)) => Ok(Format::Docx),
        (Some(Format::Docx), Some(Magic::Compound)) if is_encrypted_office(bytes) => {
            Err(Rejection::Encrypted)
        }
        (Some(declared), Some(magic)) => Err(Rejection::Mismatch {
            declared,
            found: magic.name(),
        }),
        (Some(declared), None) if declared.is_textual() => check_text(bytes).map(|()| declared),
        (Some(declared), None) => Err(Rejection::Mismatch {
            declared,
            found: "of no known kind",
        }),
        (None, Some(Magic::Zip)) if zip_guard::holds_word_document(bytes) => Ok(Format::Docx),
        (None, Some(magic)) => Err(Rejection::UnsupportedFormat(magic.name().to_owned())),
        (None, None) => match check_text(bytes) {
            Err(Rejection::Binary) => {
                Err(Rejection::UnsupportedFormat("of no known kind".to_owned()))
            }
            checked => checked.map(|()| Format::Text),
        },
    }
}

/// The format that the name says, else the media type; `None` when both are silent.
fn declared(filename: &str, mime: Option<&str>) -> Result<Option<Format>, Rejection> {
    let mime = mime
        .map(|mime| {
            mime.split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase()
        })
        .filter(|mime| !mime.is_empty() && mime != "application/octet-stream");
    let by_mime = mime.as_deref().map(by_mime);
    let Some(ending) = ending(filename) else {
        return match (by_mime, mime) {
            (Some(None), Some(mime)) => Err(Rejection::UnsupportedFormat(format!("`{mime}`"))),
            (by_mime, _) => Ok(by_mime.flatten()),
        };
    };
    match (by_ending(&ending), by_mime.flatten()) {
        (Some(format), Some(other))
            if format.is_textual() != other.is_textual() && other != Format::Text =>
        {
            Err(Rejection::Mismatch {
                declared: format,
                found: other.mime(),
            })
        }
        (Some(format), _) | (None, Some(format)) => Ok(Some(format)),
        (None, None) => Err(Rejection::UnsupportedFormat(format!("`.{ending}`"))),
    }
}

/// The ending, lower case, if it looks like one: `report.PDF` has one, `v1.2 notes` has none.
fn ending(filename: &str) -> Option<String> {
    let name = filename.rsplit(['/', '\\']).next().unwrap_or_default();
    let (stem, ending) = name.rsplit_once('.')?;
    let looks_like_one = !stem.is_empty()
        && (1..=8).contains(&ending.len())
        && ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && ending.bytes().any(|byte| byte.is_ascii_alphabetic());
    looks_like_one.then(|| ending.to_ascii_lowercase())
}

fn by_ending(ending: &str) -> Option<Format> {
    Some(match ending {
        "txt" | "text" | "log" | "rst" | "adoc" | "org" | "srt" => Format::Text,
        "md" | "markdown" | "mdown" | "mkd" | "mdx" => Format::Markdown,
        "html" | "htm" | "xhtml" => Format::Html,
        "docx" => Format::Docx,
        "csv" | "tsv" | "tab" => Format::Csv,
        "json" | "jsonl" | "ndjson" | "geojson" => Format::Json,
        "pdf" => Format::Pdf,
        _ => return None,
    })
}

fn by_mime(mime: &str) -> Option<Format> {
    Some(match mime {
        "text/plain" => Format::Text,
        "text/markdown" | "text/x-markdown" => Format::Markdown,
        "text/html" | "application/xhtml+xml" => Format::Html,
        "text/csv" | "text/tab-separated-values" | "application/csv" => Format::Csv,
        "application/json"
        | "text/json"
        | "application/x-ndjson"
        | "application/jsonl"
        | "application/geo+json" => Format::Json,
        "application/pdf" | "application/x-pdf" => Format::Pdf,
        mime if mime == Format::Docx.mime() => Format::Docx,
        _ => return None,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magic {
    Pdf,
    Zip,
    /// OLE compound file: old Office, and encrypted new Office.
    Compound,
    Other(&'static str),
}

impl Magic {
    const fn name(self) -> &'static str {
        match self {
            Self::Pdf => "PDF",
            Self::Zip => "a ZIP archive",
            Self::Compound => "an OLE compound file",
            Self::Other(name) => name,
        }
    }
}

fn magic(bytes: &[u8]) -> Option<Magic> {
    const KNOWN: &[(&[u8], &str)] = &[
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"GIF87a", "a GIF image"),
        (b"GIF89a", "a GIF image"),
        (b"\x1f\x8b", "gzip data"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!\x1a\x07", "a RAR archive"),
        (b"\xfd7zXZ\0", "xz data"),
        (b"\x28\xb5\x2f\xfd", "zstd data"),
        (b"\x7fELF", "an ELF program"),
        (b"\xca\xfe\xba\xbe", "a Java class"),
        (b"\0asm", "a WebAssembly module"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"{\\rtf", "RTF"),
        (b"%!PS-Adobe", "PostScript"),
        (b"OggS\0", "Ogg media"),
        (b"\x1aE\xdf\xa3", "Matroska media"),
    ];
    let body = bytes
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(bytes)
        .trim_ascii_start();
    if body.starts_with(b"%PDF-") {
        return Some(Magic::Pdf);
    }
    if [&b"PK\x03\x04"[..], b"PK\x05\x06", b"PK\x07\x08"]
        .iter()
        .any(|sign| bytes.starts_with(sign))
    {
        return Some(Magic::Zip);
    }
    if bytes.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return Some(Magic::Compound);
    }
    if bytes.starts_with(b"RIFF") && bytes.get(4..12).is_some_and(|rest| rest.contains(&0)) {
        return Some(Magic::Other("RIFF media"));
    }
    if bytes.get(4..8) == Some(b"ftyp") && bytes.first() == Some(&0) {
        return Some(Magic::Other("MP4 media"));
    }
    KNOWN
        .iter()
        .find(|(sign, _)| bytes.starts_with(sign))
        .map(|(_, name)| Magic::Other(name))
}

/// A PDF that is an archive as well is made to be read as two things by two programs.
fn refuse_polyglot(bytes: &[u8]) -> Result<Format, Rejection> {
    if zip_guard::ends_as_archive(bytes) {
        return Err(Rejection::Mismatch {
            declared: Format::Pdf,
            found: "PDF and ZIP at once",
        });
    }
    Ok(Format::Pdf)
}

fn is_encrypted_office(bytes: &[u8]) -> bool {
    let name: Vec<u8> = "EncryptedPackage"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    bytes.windows(name.len()).any(|window| window == name)
}

/// Tells text, broken text and binary content apart.
fn check_text(bytes: &[u8]) -> Result<(), Rejection> {
    const SAMPLE: usize = 64 * 1024;
    let sample = bytes.get(..SAMPLE).unwrap_or(bytes);
    let count = |wanted: fn(u8) -> bool| sample.iter().filter(|byte| wanted(**byte)).count();
    let controls = count(|byte| matches!(byte, 0x01..=0x08 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f));
    let nuls = count(|byte| byte == 0);
    match text::decode(bytes) {
        Ok(_) if controls * 10 > sample.len() && !has_utf16_mark(bytes) => Err(Rejection::Binary),
        Err(Rejection::InvalidUtf8(_)) if (controls + nuls) * 20 > sample.len() => {
            Err(Rejection::Binary)
        }
        decoded => decoded.map(|_| ()),
    }
}

fn has_utf16_mark(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")
}

#[cfg(test)]
mod tests {
    use touchstone_error::{Classify, ErrorKind};

    use super::*;

    fn code(result: Result<Format, Rejection>) -> String {
        result.map_or_else(
            |rejection| rejection.code().to_owned(),
            |format| format.to_string(),
        )
    }

    #[test]
    fn endings_and_media_types_name_the_format() {
        for (name, mime, expected) in [
            ("a.txt", None, "text"),
            ("A.MD", None, "markdown"),
            ("a.md", Some("text/plain; charset=utf-8"), "markdown"),
            ("a", Some("text/csv"), "csv"),
            ("README", None, "text"),
            ("notes v1.2", None, "text"),
            ("main.rs", Some("text/plain"), "text"),
            ("a.json", Some("application/octet-stream"), "json"),
            ("folder.d/page.HTML", None, "html"),
            ("main.rs", None, "document.unsupported_format"),
            ("a.exe", None, "document.unsupported_format"),
            ("a.png", Some("image/png"), "document.unsupported_format"),
            ("a", Some("image/png"), "document.unsupported_format"),
            ("a.txt", Some("application/pdf"), "document.format_mismatch"),
        ] {
            assert_eq!(
                code(detect(name, mime, b"plain words")),
                expected,
                "{name} {mime:?}"
            );
        }
    }

    #[test]
    fn bytes_beat_name_and_media_type() {
        for (name, bytes, expected) in [
            ("a.pdf", &b"%PDF-1.7\n"[..], "pdf"),
            ("a", b"\n%PDF-1.4", "pdf"),
            ("a.txt", b"%PDF-1.7\n", "document.format_mismatch"),
            ("a.pdf", b"just words", "document.format_mismatch"),
            ("a.pdf", b"GIF89a....%PDF-1.4", "document.format_mismatch"),
            ("a.docx", b"%PDF-1.4", "document.format_mismatch"),
            ("a.docx", b"words", "document.format_mismatch"),
            ("a.txt", b"PK\x03\x04....", "document.format_mismatch"),
            (
                "a.csv",
                b"\x89PNG\r\n\x1a\n....",
                "document.format_mismatch",
            ),
            ("a", b"\x7fELF\x02\x01", "document.unsupported_format"),
            ("a", b"PK\x03\x04....", "document.unsupported_format"),
        ] {
            assert_eq!(code(detect(name, None, bytes)), expected, "{name}");
        }
    }

    #[test]
    fn tells_broken_text_from_binary_content() {
        assert_eq!(code(detect("a.txt", None, b"")), "document.empty");
        assert_eq!(
            code(detect("a.txt", None, b"caf\xe9 au lait")),
            "document.invalid_utf8"
        );
        assert_eq!(code(detect("a.md", None, b"one\0two")), "document.nul_byte");
        let noise: Vec<u8> = (0..4096_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        assert_eq!(
            code(detect("a.txt", None, &noise)),
            "document.binary_content"
        );
        assert_eq!(
            code(detect("a", None, &noise)),
            "document.unsupported_format"
        );
        assert_eq!(
            code(detect("a.txt", None, b"\x01\x02\x03\x04ab")),
            "document.binary_content"
        );
        assert_eq!(code(detect("a.txt", None, b"\xff\xfeh\0i\0")), "text");
    }

    #[test]
    fn a_pdf_that_is_an_archive_as_well_is_refused() {
        let mut bytes = b"%PDF-1.4\n%%EOF\n".to_vec();
        bytes.extend_from_slice(b"PK\x05\x06");
        bytes.extend_from_slice(&[0; 18]);
        let rejection = detect("a.pdf", None, &bytes).unwrap_err();
        assert_eq!(rejection.code(), "document.format_mismatch");
        assert_eq!(rejection.kind(), ErrorKind::UnsupportedMediaType);
    }
}
