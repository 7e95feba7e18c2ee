//! The demo: bundled texts of our own, a user to ask with, a key for the command line.

mod seed;

use touchstone_api::document::CreateDocumentRequest;

pub(crate) use seed::{Credentials, SeedError, operator, seed};

/// A question that the corpus answers, one per language, for banner and demo.
pub(crate) const QUESTIONS: [&str; 2] = [
    "When was the lighthouse at Cape Verin lit for the first time?",
    "Кто основал метеостанцию на острове Кедровый?",
];

/// File name, language and text of each bundled document.
const TEXTS: [(&str, &str, &str); 9] = [
    (
        "lighthouse.md",
        "en",
        include_str!("../../demo/en/lighthouse.md"),
    ),
    ("tea.md", "en", include_str!("../../demo/en/tea.md")),
    (
        "observatory.md",
        "en",
        include_str!("../../demo/en/observatory.md"),
    ),
    ("bridge.md", "en", include_str!("../../demo/en/bridge.md")),
    (
        "incident-handbook.md",
        "en",
        include_str!("../../demo/en/incident-handbook.md"),
    ),
    (
        "meteostantsiya.md",
        "ru",
        include_str!("../../demo/ru/meteostantsiya.md"),
    ),
    ("varenye.md", "ru", include_str!("../../demo/ru/varenye.md")),
    ("tramvay.md", "ru", include_str!("../../demo/ru/tramvay.md")),
    (
        "biblioteka.md",
        "ru",
        include_str!("../../demo/ru/biblioteka.md"),
    ),
];

/// The bundled documents.
pub(crate) fn corpus() -> Vec<CreateDocumentRequest> {
    TEXTS
        .into_iter()
        .map(|(filename, language, content)| CreateDocumentRequest {
            filename: filename.into(),
            content: content.into(),
            mime: Some("text/markdown".into()),
            language: Some(language.into()),
            metadata: [("collection".to_owned(), "demo".to_owned())].into(),
        })
        .collect()
}
