use std::path::{Path, PathBuf};

use touchstone_text::Language;
use touchstone_types::ByteSpan;

use crate::{beir, squad};

/// A text that can be found.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Id within the collection.
    pub id: String,
    /// Title; empty when the collection has none.
    pub title: String,
    /// The text.
    pub text: String,
    /// Where its gold sentences stand; empty when the collection has none.
    pub sentences: Vec<ByteSpan>,
}

/// A question and what answers it.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Id within the collection.
    pub id: String,
    /// The question.
    pub text: String,
    /// Documents that answer, best grade first.
    pub relevant: Vec<Gold>,
}

/// A document that answers a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Gold {
    /// Index into [`Collection::documents`].
    pub document: usize,
    /// Grade, 1 or more.
    pub grade: u32,
    /// Where the answer stands in the document, when the collection tells.
    pub answer: Option<ByteSpan>,
}

/// Documents, questions and judgements.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// Short name, from the file or the folder.
    pub name: String,
    /// Language of most of its documents.
    pub language: Language,
    /// What can be found.
    pub documents: Vec<Document>,
    /// What is asked.
    pub queries: Vec<Query>,
}

/// What counts as one document of a SQuAD file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Granularity {
    /// A paragraph.
    #[default]
    Paragraphs,
    /// A sentence.
    Sentences,
}

/// Why a collection cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what its format asks for.
    #[error("`{path}` is malformed in {place}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where in it.
        place: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A file contradicts itself.
    #[error("`{path}`: {problem}")]
    Inconsistent {
        /// Which.
        path: PathBuf,
        /// In words.
        problem: String,
    },
    /// Neither format.
    #[error("`{0}` is neither a SQuAD file, a folder of SQuAD files nor a BEIR folder")]
    UnknownFormat(PathBuf),
}

/// Reads every collection at a path: one SQuAD file, a folder of SQuAD files, or a BEIR folder
/// (`corpus.jsonl`, `queries.jsonl`, `qrels/*.tsv`).
///
/// # Errors
/// [`Error`] names the file; a collection without a question or a document is an error too.
pub fn load(path: &Path) -> Result<Vec<Collection>, Error> {
    if path.is_file() {
        return Ok(vec![squad::read(path)?]);
    }
    if beir::is_folder(path) {
        return Ok(vec![beir::read(path)?]);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|file| file.extension().is_some_and(|ending| ending == "json"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(Error::UnknownFormat(path.to_owned()));
    }
    files.iter().map(|file| squad::read(file)).collect()
}

impl Collection {
    /// The same questions over sentences instead of whole documents. Documents without marked
    /// sentences are split by [`touchstone_text::sentences`]; queries whose answers have no place
    /// are left out.
    #[must_use]
    pub fn at(&self, granularity: Granularity) -> Self {
        if granularity == Granularity::Paragraphs {
            return self.clone();
        }
        let mut documents = Vec::new();
        let mut starts = Vec::new();
        for document in &self.documents {
            let spans = sentence_spans(document);
            let first = documents.len();
            for (at, span) in spans.iter().enumerate() {
                let text = span.of(&document.text).unwrap_or_default().to_owned();
                documents.push(Document {
                    id: format!("{}#{at}", document.id),
                    title: document.title.clone(),
                    sentences: vec![ByteSpan::new(0, text.len())],
                    text,
                });
            }
            starts.push((first, spans));
        }
        let queries = self
            .queries
            .iter()
            .filter_map(|query| {
                let relevant: Vec<Gold> = query
                    .relevant
                    .iter()
                    .filter_map(|gold| {
                        let (first, spans) = &starts[gold.document];
                        let answer = gold.answer?;
                        let at = spans.iter().position(|span| answer.start < span.end)?;
                        let start = answer.start.saturating_sub(spans[at].start);
                        let end = answer
                            .end
                            .min(spans[at].end)
                            .saturating_sub(spans[at].start);
                        let answer = Some(ByteSpan::new(start.min(end), end));
                        Some(Gold {
                            document: first + at,
                            grade: gold.grade,
                            answer,
                        })
                    })
                    .collect();
                (!relevant.is_empty()).then(|| Query {
                    relevant,
                    ..query.clone()
                })
            })
            .collect();
        Self {
            name: self.name.clone(),
            language: self.language,
            documents,
            queries,
        }
    }

    /// Splits the questions in two by their ids, the same way every time: parameters are chosen on
    /// the first half and reported on the second.
    pub fn halves(&self) -> (Vec<&Query>, Vec<&Query>) {
        self.queries.iter().partition(|query| {
            let hash = query
                .id
                .bytes()
                .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
                });
            (hash >> 17).is_multiple_of(2)
        })
    }
}

fn sentence_spans(document: &Document) -> Vec<ByteSpan> {
    if document.sentences.is_empty() {
        touchstone_text::sentences(&document.text)
    } else {
        document.sentences.clone()
    }
}
