//! What the upload refuses before anything is unpacked.

use touchstone_document::formats::{self, Format};
use touchstone_error::{Classify, ErrorKind};

use crate::extract;
use crate::fixtures::{Archive, docx, docx_with, paragraph, patch};

fn refusal(bytes: &[u8]) -> String {
    assert_eq!(formats::detect("a.docx", None, bytes), Ok(Format::Docx));
    let rejection = formats::preflight(Format::Docx, bytes).unwrap_err();
    assert_eq!(rejection.kind(), ErrorKind::Unprocessable);
    format!("{}: {rejection}", rejection.code())
}

fn honest() -> String {
    paragraph("", "words")
}

#[test]
fn nested_archives_are_a_bomb() {
    let mut inner = Archive::new();
    inner.add_zeros("0.dll", 4);
    let mut bytes = inner.finish();
    for level in 0..20 {
        let mut outer = Archive::new();
        for copy in 0..4 {
            outer.add_bytes(&format!("{level}-{copy}.zip"), &bytes);
        }
        bytes = outer.finish();
        if bytes.len() > 1_000_000 {
            break;
        }
    }
    assert!(refusal(&bytes).starts_with("document.zip_bomb"));
    let hidden = docx_with("t", &honest(), |archive| {
        archive.add("word/media/inner.zip", "PK");
    });
    assert!(refusal(&hidden).starts_with("document.zip_bomb"));
}

#[test]
fn embedded_office_objects_are_no_bomb() {
    let bytes = docx_with("t", &honest(), |archive| {
        archive.add("word/embeddings/Sheet1.xlsx", "PK");
    });
    assert_eq!(formats::preflight(Format::Docx, &bytes), Ok(()));
}

#[test]
fn a_hundred_thousand_entries_are_a_bomb() {
    let bytes = docx_with("t", &honest(), |archive| {
        for entry in 0..100_000 {
            archive.add(&format!("word/media/{entry}.png"), "");
        }
    });
    assert!(refusal(&bytes).starts_with("document.zip_bomb"));
    let bytes = docx_with("t", &honest(), |archive| {
        for entry in 0..5000 {
            archive.add(&format!("word/media/{entry}.png"), "");
        }
    });
    assert!(refusal(&bytes).starts_with("document.zip_bomb"));
}

#[test]
fn a_part_of_zeros_is_a_bomb() {
    let bytes = docx_with("t", &honest(), |archive| {
        archive.add_zeros("word/media/a.bmp", 32);
    });
    assert!(bytes.len() < 64 * 1024);
    assert!(refusal(&bytes).starts_with("document.zip_bomb"));
}

#[test]
fn a_part_that_lies_about_its_size_is_refused() {
    let body = paragraph("", &"a ".repeat(200_000));
    let mut bytes = docx("t", &body);
    let declared = u32::try_from(bytes_of_document(&body))
        .unwrap()
        .to_le_bytes();
    let lie = 1000_u32.to_le_bytes();
    while bytes.windows(4).any(|w| w == declared) {
        patch(&mut bytes, 0, &declared, &lie);
    }
    assert!(refusal(&bytes).contains("cannot be unpacked"));
}

fn bytes_of_document(body: &str) -> usize {
    let whole = docx("t", body);
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(whole)).unwrap();
    usize::try_from(archive.by_name("word/document.xml").unwrap().size()).unwrap()
}

#[test]
fn entries_that_overlap_are_a_bomb() {
    // Every entry of such a bomb quotes the same packed bytes; here, the second quotes the first.
    let mut bytes = docx_with("t", &honest(), |archive| {
        archive.add("word/media/a.bmp", "aaaa");
        archive.add("word/media/b.bmp", "bbbb");
    });
    let directory = |name: &[u8]| bytes.windows(name.len()).rposition(|w| w == name).unwrap() - 46;
    let (first, second) = (
        directory(b"word/media/a.bmp"),
        directory(b"word/media/b.bmp"),
    );
    bytes.copy_within(first + 42..first + 46, second + 42);
    assert!(refusal(&bytes).contains("overlap"));
}

#[test]
fn names_that_climb_and_links_are_refused() {
    for name in ["../../etc/passwd", "/etc/passwd", "a\\..\\..\\b", "C:\\x"] {
        // The writer cleans names, so a name of the same length is patched in.
        let placeholder = "q".repeat(name.len());
        let mut bytes = docx_with("t", &honest(), |archive| archive.add(&placeholder, ""));
        while bytes
            .windows(name.len())
            .any(|w| w == placeholder.as_bytes())
        {
            patch(&mut bytes, 0, placeholder.as_bytes(), name.as_bytes());
        }
        assert!(refusal(&bytes).contains("unsafe name"), "{name}");
    }
    let linked = docx_with("t", &honest(), |archive| {
        archive.add_symlink("word/media/l", "/etc/passwd");
    });
    assert!(refusal(&linked).contains("symbolic link"));
}

#[test]
fn archives_that_are_no_word_document_are_malformed() {
    let mut sheet = Archive::new();
    sheet.add("xl/workbook.xml", "<x/>");
    assert!(refusal(&sheet.finish()).contains("no Word document"));
    let whole = docx("t", &honest());
    for end in [4, 30, whole.len() / 2, whole.len() - 1] {
        assert!(
            refusal(&whole[..end]).starts_with("document.malformed"),
            "{end}"
        );
    }
    let mut encrypted = whole.clone();
    let central = encrypted
        .windows(4)
        .position(|w| w == b"PK\x01\x02")
        .unwrap();
    encrypted[central + 8] |= 1;
    assert!(refusal(&encrypted).starts_with("document.encrypted"));
}

#[tokio::test]
async fn entities_are_never_expanded() {
    let bomb = r#"<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><d>&b;</d>"#;
    let mut archive = Archive::new();
    archive.add("word/document.xml", bomb);
    let error = extract(Format::Docx, archive.finish()).await.unwrap_err();
    assert_eq!(error.code(), "document.damaged");
    let bytes = docx("t", &paragraph("", "a&unknown;b &#x416;&lt;"));
    assert_eq!(extract(Format::Docx, bytes).await.unwrap().text, "ab Ж<");
}

#[tokio::test]
async fn deep_xml_and_endless_cells_end_in_an_error() {
    let deep = format!("{}{}", "<w:x>".repeat(50_000), "</w:x>".repeat(50_000));
    let error = extract(Format::Docx, docx("t", &deep)).await.unwrap_err();
    assert_eq!(error.code(), "document.too_deep");
    let cut = extract(Format::Docx, docx("t", "<w:p><w:r><w:t>open"))
        .await
        .unwrap_err();
    assert_eq!(cut.code(), "document.damaged");
    let blank = extract(Format::Docx, docx("t", "<w:p/>"))
        .await
        .unwrap_err();
    assert_eq!(blank.code(), "document.no_text");
}
