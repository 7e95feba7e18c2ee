use std::path::Path;

use serde::Deserialize;
use touchstone_text::detect;
use touchstone_types::ByteSpan;

use crate::collection::{Collection, Document, Error, Gold, Query};

#[derive(Deserialize)]
struct File {
    data: Vec<Article>,
}

#[derive(Deserialize)]
struct Article {
    #[serde(default)]
    title: String,
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    context: String,
    #[serde(default)]
    sentence_breaks: Vec<(usize, usize)>,
    qas: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    id: String,
    #[serde(rename = "question")]
    text: String,
    #[serde(default)]
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    /// Characters, not bytes.
    answer_start: usize,
    text: String,
}

pub(crate) fn read(path: &Path) -> Result<Collection, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let file: File = serde_json::from_str(&text).map_err(|source| Error::Malformed {
        path: path.to_owned(),
        place: "the SQuAD format".to_owned(),
        source,
    })?;
    let inconsistent = |problem: String| Error::Inconsistent {
        path: path.to_owned(),
        problem,
    };
    let mut documents = Vec::new();
    let mut queries = Vec::new();
    for (article_at, article) in file.data.into_iter().enumerate() {
        for (paragraph_at, paragraph) in article.paragraphs.into_iter().enumerate() {
            let offsets = Offsets::new(&paragraph.context);
            let text = paragraph
                .context
                .trim_start_matches(BYTE_ORDER_MARK)
                .to_owned();
            let document = documents.len();
            for question in paragraph.qas {
                let mut relevant = Vec::new();
                for answer in question.answers.into_iter().take(1) {
                    let characters = answer.text.chars().count();
                    let end = answer.answer_start + characters;
                    let span = offsets.span(answer.answer_start, end).ok_or_else(|| {
                        inconsistent(format!(
                            "the answer of question `{}` lies outside",
                            question.id
                        ))
                    })?;
                    relevant.push(Gold {
                        document,
                        grade: 1,
                        answer: Some(span),
                    });
                }
                // SQuAD 2 has questions without an answer; they cannot be ranked.
                if !relevant.is_empty() {
                    queries.push(Query {
                        id: question.id,
                        text: question.text,
                        relevant,
                    });
                }
            }
            let sentences = paragraph
                .sentence_breaks
                .iter()
                .filter_map(|(start, end)| offsets.span(*start, *end))
                .map(|span| trim(&text, span))
                .filter(|span| !span.is_empty())
                .collect();
            documents.push(Document {
                id: format!("{article_at}-{paragraph_at}"),
                title: article.title.replace('_', " "),
                text,
                sentences,
            });
        }
    }
    if documents.is_empty() || queries.is_empty() {
        return Err(inconsistent(
            "holds no paragraph or no answered question".to_owned(),
        ));
    }
    let sample: String = documents.iter().take(5).map(|d| d.text.as_str()).collect();
    let name = path
        .file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    Ok(Collection {
        name,
        language: detect(&sample),
        documents,
        queries,
    })
}

fn trim(text: &str, span: ByteSpan) -> ByteSpan {
    let Some(piece) = span.of(text) else {
        return ByteSpan::new(span.start, span.start);
    };
    let start = span.start + (piece.len() - piece.trim_start().len());
    ByteSpan::new(start, start + piece.trim().len())
}

/// Byte offset of every character in the text without its byte order mark.
struct Offsets(Vec<usize>);

/// Some contexts begin with it; a file that does loses it when it is read, offsets count it.
const BYTE_ORDER_MARK: char = '\u{feff}';

impl Offsets {
    fn new(text: &str) -> Self {
        let mark = if text.starts_with(BYTE_ORDER_MARK) {
            BYTE_ORDER_MARK.len_utf8()
        } else {
            0
        };
        let places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        Self(places.map(|at| at.saturating_sub(mark)).collect())
    }

    fn span(&self, start: usize, end: usize) -> Option<ByteSpan> {
        let (start, end) = (*self.0.get(start)?, *self.0.get(end)?);
        (start <= end).then(|| ByteSpan::new(start, end))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Granularity, load};

    const FILE: &str = r#"{"data":[{"title":"Nile_river","paragraphs":[{
        "context":"Нил длинный. Он течёт на север.",
        "sentence_breaks":[[0,12],[13,31]],
        "qas":[{"id":"q1","question":"Куда течёт Нил?","answers":[{"answer_start":22,"text":"на север"}]}]
    }]}]}"#;

    #[test]
    fn character_offsets_become_bytes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ru.json"), FILE).unwrap();
        let collection = load(folder.path()).unwrap().remove(0);
        assert_eq!(collection.name, "ru");
        assert_eq!(collection.documents[0].title, "Nile river");
        let gold = &collection.queries[0].relevant[0];
        assert_eq!(
            gold.answer.unwrap().of(&collection.documents[0].text),
            Some("на север")
        );

        let sentences = collection.at(Granularity::Sentences);
        assert_eq!(sentences.documents[1].text, "Он течёт на север.");
        let gold = &sentences.queries[0].relevant[0];
        assert_eq!(gold.document, 1);
        assert_eq!(
            gold.answer.unwrap().of(&sentences.documents[1].text),
            Some("на север")
        );
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("marked.json");
        let marked = FILE
            .replace("Нил длинный", "\u{feff}Нил длинный")
            .replace("[[0,12],[13,31]]", "[[0,13],[14,32]]")
            .replace("\"answer_start\":22", "\"answer_start\":23");
        std::fs::write(&path, marked).unwrap();
        let document = load(&path).unwrap().remove(0).documents.remove(0);
        assert!(document.text.starts_with("Нил"));
        assert_eq!(
            document.sentences[0].of(&document.text),
            Some("Нил длинный.")
        );
        assert_eq!(
            document.sentences[1].of(&document.text),
            Some("Он течёт на север.")
        );
    }

    #[test]
    fn names_the_file_that_is_broken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.json");
        std::fs::write(&path, "{\"data\":[{}]}").unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("bad.json"));
    }
}
