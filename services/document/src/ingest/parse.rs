//! From bytes to text and chunks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use touchstone_text::detect;
use touchstone_types::DocumentId;

use super::trouble::Trouble;
use super::{Group, Ingestor};
use crate::domain::chunker::{ChunkParams, chunk};
use crate::domain::ingestion::{Change, has_chunks};
use crate::formats::{self, ExtractError, Extracted, Format};
use crate::sandbox::Extractor;
use crate::store::{self, Claimed, Failure, NewChunk, Outcome, Parsed, Passed};

/// Documents of a group that are parsed at once.
const PARALLEL: usize = 4;
/// How much of a text is looked at to name its language.
const LANGUAGE_SAMPLE: usize = 16 * 1024;
/// Longest title, in characters.
const TITLE_CHARS: usize = 300;

/// Takes texts out of files and cuts them.
#[derive(Clone, Debug)]
pub struct Parser {
    /// For formats that are read in a child process.
    pub extractor: Extractor,
    /// What may come out.
    pub limits: formats::Limits,
    /// How to cut.
    pub chunks: ChunkParams,
    /// Longest time for one document.
    pub deadline: Duration,
}

/// A text on its way into the index.
#[derive(Debug)]
pub struct Text {
    /// Title.
    pub title: String,
    /// Text.
    pub body: Arc<str>,
    /// Chunks, by ordinal.
    pub chunks: Vec<NewChunk>,
}

struct Cut {
    title: Option<String>,
    language: &'static str,
    body: String,
    chunks: Vec<NewChunk>,
    /// What the reader says of the file.
    note: Option<String>,
}

impl Parser {
    async fn parse(&self, format: &str, body: Bytes) -> Result<Cut, Trouble> {
        let format: Format = format.parse().map_err(|message| {
            Trouble::Fatal(Failure {
                code: "document.unsupported_format".to_owned(),
                message,
            })
        })?;
        let (limits, chunks) = (self.limits, self.chunks);
        let sandboxed = if format.is_sandboxed() {
            Some(self.extractor.extract(format, body.clone()).await)
        } else {
            None
        };
        let work = move || -> Result<Cut, ExtractError> {
            let extracted = match sandboxed {
                Some(extracted) => extracted?,
                None => formats::extract(format, &body, limits)?,
            };
            Ok(cut(extracted, chunks))
        };
        // A parser that never ends keeps its thread, but not the worker.
        match tokio::time::timeout(self.deadline, tokio::task::spawn_blocking(work)).await {
            Ok(Ok(Ok(cut))) if cut.chunks.is_empty() => {
                Err(Trouble::of_parser(&ExtractError::NoText))
            }
            Ok(Ok(cut)) => cut.map_err(|error| Trouble::of_parser(&error)),
            Ok(Err(_)) => Err(Trouble::Attempt(Failure {
                code: "document.worker_panicked".to_owned(),
                message: "the parser panicked".to_owned(),
            })),
            Err(_) => Err(Trouble::Attempt(Failure {
                code: "document.parser_timeout".to_owned(),
                message: "the parser did not finish in time".to_owned(),
            })),
        }
    }
}

fn cut(extracted: Extracted, params: ChunkParams) -> Cut {
    let Extracted {
        text,
        title,
        headings,
        note,
    } = extracted;
    let chunks = chunk(&text, &headings, params)
        .into_iter()
        .map(|chunk| NewChunk {
            ordinal: chunk.ordinal,
            span: chunk.span,
            heading: chunk
                .heading
                .and_then(|at| headings.get(at))
                .map(|it| it.text.clone()),
        })
        .collect();
    let sample = &text[..text.floor_char_boundary(LANGUAGE_SAMPLE)];
    let language = detect(sample).code();
    let title = title.or_else(|| headings.first().map(|heading| heading.text.clone()));
    Cut {
        title,
        language,
        body: text,
        chunks,
        note,
    }
}

impl Ingestor {
    /// Parses what has no chunks yet and stores it in one transaction. Gives the texts of those
    /// that go on; the others are settled and leave the group.
    pub(super) async fn parse_group(
        &self,
        group: &mut Group,
    ) -> Result<HashMap<DocumentId, Text>, store::Error> {
        let wanted: Vec<_> = group
            .documents
            .iter()
            .filter(|document| !has_chunks(document.status))
            .map(|document| (document.id, document.version))
            .collect();
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let started = Instant::now();
        let mut bodies: HashMap<_, _> =
            self.0.store.originals(&wanted).await?.into_iter().collect();
        let (mut todo, mut failed) = (Vec::with_capacity(wanted.len()), Vec::new());
        for document in group
            .documents
            .iter()
            .filter(|document| !has_chunks(document.status))
        {
            match bodies.remove(&document.id) {
                Some(body) => todo.push((document.clone(), body)),
                None => failed.push(self.missing(document, "the original is missing")),
            }
        }
        let mut parses = futures_util::stream::iter(todo)
            .map(|(document, body)| async move {
                let cut = self.0.parser.parse(&document.format, body).await;
                (document, cut)
            })
            .buffer_unordered(PARALLEL);
        let mut parsed = Vec::with_capacity(wanted.len());
        while let Some((document, cut)) = parses.next().await {
            match cut {
                Ok(cut) => parsed.push(self.parsed(&document, cut)),
                Err(trouble) => failed.push(self.outcome(&document, trouble, &[], false)),
            }
            if group.renewed.elapsed() > self.0.config.lease / 3 {
                self.check(group).await?;
            }
        }
        drop(parses);
        self.0.metrics.step("parse", started.elapsed());
        let started = Instant::now();
        self.settle(group.claim, &failed).await?;
        let stored = self.0.store.put_chunks(group.claim, &parsed).await?;
        self.0.metrics.step("store", started.elapsed());
        if stored.len() < parsed.len() {
            self.0.wake.wake();
        }
        group
            .documents
            .retain(|document| has_chunks(document.status) || stored.contains(&document.id));
        let text = |item: Parsed| {
            (
                item.id,
                Text {
                    title: item.title,
                    body: item.body.into(),
                    chunks: item.chunks,
                },
            )
        };
        Ok(parsed
            .into_iter()
            .filter(|item| stored.contains(&item.id))
            .map(text)
            .collect())
    }

    fn missing(&self, document: &Claimed, message: &str) -> Outcome {
        let failure = Failure {
            code: "document.missing_data".to_owned(),
            message: message.to_owned(),
        };
        self.outcome(document, Trouble::Attempt(failure), &[], false)
    }

    fn parsed(&self, document: &Claimed, cut: Cut) -> Parsed {
        let at = self.0.clock.now();
        let title = cut
            .title
            .map(|title| title.trim().chars().take(TITLE_CHARS).collect());
        let title = title.filter(|title: &String| !title.is_empty());
        let detail = Some(format!("{} chunks", cut.chunks.len()));
        Parsed {
            id: document.id,
            version: document.version,
            title: title.unwrap_or_else(|| document.filename.clone()),
            language: document
                .language
                .clone()
                .unwrap_or_else(|| cut.language.to_owned()),
            body: cut.body,
            chunks: cut.chunks,
            passed: vec![
                Passed {
                    change: Change::Parsed,
                    at,
                    detail: cut.note,
                },
                Passed {
                    change: Change::Chunked,
                    at,
                    detail,
                },
            ],
        }
    }

    /// Loads what an earlier attempt has stored.
    pub(super) async fn load_stored(
        &self,
        group: &mut Group,
        texts: &mut HashMap<DocumentId, Text>,
    ) -> Result<(), store::Error> {
        let mut missing = Vec::new();
        for document in group
            .documents
            .iter()
            .filter(|document| has_chunks(document.status))
        {
            match self.0.store.stored(document.id, document.version).await? {
                Some((text, chunks)) => {
                    let text = Text {
                        title: text.title,
                        body: text.body.into(),
                        chunks,
                    };
                    texts.insert(document.id, text);
                }
                None => missing.push(self.missing(document, "the stored text is missing")),
            }
        }
        self.settle(group.claim, &missing).await?;
        group
            .documents
            .retain(|document| texts.contains_key(&document.id));
        Ok(())
    }
}
