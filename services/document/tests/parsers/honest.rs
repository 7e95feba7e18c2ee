use touchstone_document::formats::{self, Format};

use crate::extract;
use crate::fixtures::{docx, paragraph, pdf};

#[tokio::test]
async fn a_pdf_gives_its_text_in_both_scripts_and_its_title() {
    let bytes = pdf(
        "О реке Нил",
        &[
            "The Nile is 6,650 km long.\nIt flows north.",
            "Нил течёт на север.\nДлина — 6650 км.",
        ],
    );
    assert_eq!(formats::detect("nile.pdf", None, &bytes), Ok(Format::Pdf));
    formats::preflight(Format::Pdf, &bytes).unwrap();
    let found = extract(Format::Pdf, bytes).await.unwrap();
    assert_eq!(found.title.as_deref(), Some("О реке Нил"));
    for line in [
        "The Nile is 6,650 km long.",
        "It flows north.",
        "Нил течёт на север.",
    ] {
        assert!(found.text.contains(line), "{:?}", found.text);
    }
    assert!(found.text.find("north").unwrap() < found.text.find("север").unwrap());
}

#[tokio::test]
async fn a_word_document_gives_paragraphs_headings_lists_and_tables() {
    let body = [
        paragraph("1", "Река Нил"),
        paragraph("", "It is <w:x/>6,650 km long &amp; flows north. "),
        paragraph("X", "Mouths"),
        r"<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>Rosetta</w:t></w:r></w:p>".to_owned(),
        r"<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>Damietta</w:t></w:r></w:p>".to_owned(),
        r"<w:tbl><w:tr><w:tc><w:p><w:r><w:t>Blue</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>1,450</w:t></w:r></w:p><w:p><w:r><w:t>km</w:t></w:r></w:p></w:tc></w:tr></w:tbl>".to_owned(),
        r"<w:p><w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden order</w:t></w:r><w:r><w:t>seen</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>".to_owned(),
    ]
    .concat()
    .replace("<w:x/>", "");
    let bytes = docx("Заголовок &amp; title", &body);
    assert_eq!(formats::detect("nile.docx", None, &bytes), Ok(Format::Docx));
    assert_eq!(formats::detect("nile", None, &bytes), Ok(Format::Docx));
    formats::preflight(Format::Docx, &bytes).unwrap();
    let found = extract(Format::Docx, bytes).await.unwrap();
    assert_eq!(found.title.as_deref(), Some("Заголовок & title"));
    assert_eq!(
        found.text,
        "Река Нил\n\nIt is 6,650 km long & flows north.\n\nMouths\n\n- Rosetta\n- Damietta\n\
         | Blue | 1,450 km |\n\nseen"
    );
    let headings: Vec<_> = found
        .headings
        .iter()
        .map(|h| (h.level, &found.text[h.offset..h.offset + h.text.len()]))
        .collect();
    assert_eq!(headings, [(1, "Река Нил"), (2, "Mouths")]);
}

#[tokio::test]
async fn html_is_read_in_the_sandbox_and_text_beside_it() {
    let page = extract(Format::Html, b"<h1>Nile</h1><p>Long.".to_vec())
        .await
        .unwrap();
    assert_eq!(
        (page.text.as_str(), page.title.as_deref()),
        ("Nile\n\nLong.", Some("Nile"))
    );
    let text = extract(Format::Text, b"\xef\xbb\xbfas it is\r\n".to_vec())
        .await
        .unwrap();
    assert_eq!(text.text, "as it is\r\n");
    let table = extract(Format::Csv, b"a,b\n1,2\n".to_vec()).await.unwrap();
    assert_eq!(table.text, "a: 1; b: 2");
}

#[tokio::test]
async fn a_page_that_cannot_be_read_is_left_out_and_told() {
    let mut bytes = pdf("t", &["The first page.", "The second page."]);
    // The second page's content names a font that does not exist.
    let second = bytes.windows(7).rposition(|w| w == b"BT /F1 ").unwrap();
    bytes[second + 5] = b'9';
    let found = extract(Format::Pdf, bytes).await.unwrap();
    assert_eq!(found.text, "The first page.");
    assert_eq!(
        found.note.as_deref(),
        Some("1 of 2 pages could not be read")
    );
}
