//! Damaged and malicious files: an error with a code, or text; never the end of this process.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use touchstone_document::formats::{self, Format};
use touchstone_document::sandbox::{Extractor, Settings};
use touchstone_error::Classify;

use crate::fixtures::{Noise, PdfFile, docx, paragraph, pdf};
use crate::{extract, settings};

/// Codes that a file may fail with; `parser_unavailable` would be our fault.
const FINAL_CODES: [&str; 7] = [
    "document.damaged",
    "document.encrypted",
    "document.too_large",
    "document.too_deep",
    "document.no_text",
    "document.parser_crashed",
    "document.parser_timeout",
];

async fn fails(format: Format, bytes: Vec<u8>) -> String {
    let error = extract(format, bytes).await.unwrap_err();
    let code = error.code().to_owned();
    assert!(FINAL_CODES.contains(&&*code), "{error:?}");
    code
}

fn pages(body: &str) -> PdfFile {
    let mut file = PdfFile::default();
    file.object("<< /Type /Catalog /Pages 2 0 R >>");
    file.object(body);
    file
}

#[tokio::test]
async fn nested_arrays_end_in_an_error() {
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let mut file = pages("<< /Type /Pages /Kids [] /Count 0 >>");
    file.object(&nested);
    fails(Format::Pdf, file.finish("")).await;
    let mut trailer = b"%PDF-1.7\ntrailer\n<< /Root ".to_vec();
    trailer.extend_from_slice(nested.as_bytes());
    trailer.extend_from_slice(b" >>\nstartxref\n9\n%%EOF");
    fails(Format::Pdf, trailer).await;
}

#[tokio::test]
async fn loops_in_references_end_in_an_error() {
    let cycle = pages("<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>");
    fails(Format::Pdf, cycle.finish("")).await;
    let xref = b"%PDF-1.7\nxref\n0 1\n0000000000 65535 f \ntrailer\n<< /Size 1 /Root 1 0 R /Prev 9 >>\nstartxref\n9\n%%EOF";
    fails(Format::Pdf, xref.to_vec()).await;
    let mut itself = pages("<< /Type /Pages /Kids [3 0 R] /Count 1 >>");
    itself.object("3 0 R");
    fails(Format::Pdf, itself.finish("")).await;
    let mut form = pages("<< /Type /Pages /Kids [3 0 R] /Count 1 >>");
    form.object("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /XObject << /X 5 0 R >> >> >>");
    form.stream("", b"/X Do");
    form.stream(
        "/Type /XObject /Subtype /Form /Resources << /XObject << /X 5 0 R >> >>",
        b"/X Do /X Do",
    );
    fails(Format::Pdf, form.finish("")).await;
}

#[tokio::test]
async fn claims_without_substance_end_in_an_error() {
    let count = pages("<< /Type /Pages /Kids [] /Count 1000000000 >>");
    fails(Format::Pdf, count.finish("")).await;
    let size = b"%PDF-1.7\nxref\n0 4294967295\n0000000000 65535 f \ntrailer\n<< /Size 4294967295 /Root 1 0 R >>\nstartxref\n9\n%%EOF";
    fails(Format::Pdf, size.to_vec()).await;
    fails(Format::Pdf, b"%PDF-1.7\n".to_vec()).await;
    fails(
        Format::Pdf,
        [b"%PDF-1.7\n".to_vec(), vec![b'('; 1_000_000]].concat(),
    )
    .await;
    let mut wide = pages("<< /Type /Pages /Kids [3 0 R] /Count 1 >>");
    wide.object("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>");
    wide.stream("", b"BT /F 1 Tf <0001> Tj ET");
    wide.object("<< /Type /Font /Subtype /Type0 /BaseFont /S /Encoding /Identity-H /DescendantFonts [6 0 R] >>");
    wide.object("<< /Type /Font /Subtype /CIDFontType2 /BaseFont /S /W [0 4000000000 500] >>");
    fails(Format::Pdf, wide.finish("")).await;
}

#[tokio::test]
async fn encrypted_files_say_so() {
    let mut bytes = pdf("t", &["secret"]);
    let at = bytes.windows(6).rposition(|w| w == b"/Root ").unwrap();
    let encrypt = b"/Encrypt << /Filter /Standard /V 2 /R 3 /Length 128 /P -44 /O <0000000000000000000000000000000000000000000000000000000000000000> /U <0000000000000000000000000000000000000000000000000000000000000000> >> /ID [<00> <00>] ";
    bytes.splice(at..at, encrypt.iter().copied());
    assert_eq!(fails(Format::Pdf, bytes).await, "document.encrypted");
}

#[tokio::test]
async fn a_pdf_of_pictures_has_no_text() {
    assert_eq!(
        fails(Format::Pdf, pdf("t", &[""])).await,
        "document.no_text"
    );
}

#[tokio::test]
async fn mutated_files_never_hurt_the_parent() {
    let honest_pdf = pdf(
        "Название",
        &["The Nile is long.\nIt flows north.", "Нил течёт."],
    );
    let honest_docx = docx(
        "t",
        &(paragraph("1", "Head") + &paragraph("", "Body text. Текст.")),
    );
    let extractor = Extractor::new(Settings {
        concurrency: 2,
        ..settings()
    });
    let mut noise = Noise(0x5eed_2026);
    let cases: Vec<(Format, Vec<u8>)> = (0..200)
        .map(|at| {
            let (format, honest) = if at % 4 == 3 {
                (Format::Docx, &honest_docx)
            } else {
                (Format::Pdf, &honest_pdf)
            };
            (format, mutate(honest, &mut noise))
        })
        .collect();
    let codes: Vec<String> = stream::iter(cases)
        .map(|(format, bytes)| {
            let extractor = extractor.clone();
            async move {
                // The upload's checks must hold as well.
                let _ = formats::detect("a", None, &bytes);
                let _ = formats::preflight(format, &bytes);
                match extractor.extract(format, Bytes::from(bytes)).await {
                    Ok(found) => {
                        assert!(!found.text.trim().is_empty());
                        "text".to_owned()
                    }
                    Err(error) => error.code().to_owned(),
                }
            }
        })
        .buffered(2)
        .collect()
        .await;
    assert!(
        codes
            .iter()
            .all(|code| code == "text" || FINAL_CODES.contains(&&**code)),
        "{codes:?}"
    );
    assert!(codes.iter().any(|code| code == "document.damaged"));
    assert!(codes.iter().any(|code| code == "text"));
}

fn mutate(honest: &[u8], noise: &mut Noise) -> Vec<u8> {
    let mut bytes = honest.to_vec();
    match noise.below(4) {
        0 => bytes.truncate(noise.below(honest.len())),
        1 => {
            for _ in 0..=noise.below(30) {
                let at = noise.below(bytes.len());
                bytes[at] = u8::try_from(noise.below(256)).unwrap();
            }
        }
        2 => {
            let start = noise.below(bytes.len());
            let end = (start + noise.below(200)).min(bytes.len());
            let piece: Vec<u8> = bytes.drain(start..end).collect();
            let at = noise.below(bytes.len().max(1));
            bytes.splice(at..at, piece);
        }
        _ => {
            for _ in 0..=noise.below(8) {
                let at = noise.below(bytes.len());
                if bytes[at].is_ascii_digit() {
                    bytes[at] = b'9';
                } else {
                    bytes[at] ^= 1 << noise.below(8);
                }
            }
        }
    }
    bytes
}

#[tokio::test]
async fn deep_and_wide_pages_are_read() {
    let deep = format!(
        "{}core{}",
        "<div>".repeat(100_000),
        "</div>".repeat(100_000)
    );
    assert_eq!(
        extract(Format::Html, deep.into_bytes()).await.unwrap().text,
        "core"
    );
    let attributes: Vec<String> = (0..20_000).map(|at| format!("a{at}=1")).collect();
    let wide = format!("<p {}>core", attributes.join(" "));
    assert_eq!(
        extract(Format::Html, wide.into_bytes()).await.unwrap().text,
        "core"
    );
}

#[tokio::test]
async fn noise_is_refused_as_text_and_survived_as_anything() {
    let mut noise = Noise(7);
    for round in 0..20 {
        let bytes: Vec<u8> = (0..4000)
            .map(|_| u8::try_from(noise.below(256)).unwrap())
            .collect();
        for (format, name) in [
            (Format::Text, "a.txt"),
            (Format::Markdown, "a.md"),
            (Format::Html, "a.html"),
            (Format::Csv, "a.csv"),
            (Format::Json, "a.json"),
            (Format::Docx, "a.docx"),
            (Format::Pdf, "a.pdf"),
        ] {
            let rejection = formats::detect(name, None, &bytes).unwrap_err();
            assert_eq!(
                rejection.kind().status(),
                415,
                "{name} in round {round}: {rejection}"
            );
            assert!(formats::extract(format, &bytes, formats::Limits::default()).is_err());
        }
    }
}
