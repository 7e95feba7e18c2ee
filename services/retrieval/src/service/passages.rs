//! The call to document: from hits to a prompt's context.

use std::time::Instant;

use touchstone_api::document::{PassageSpan, PassagesRequest};
use touchstone_api::retrieval::{ContextPassage, Dropped, StageCandidate};
use touchstone_identity::Caller;
use touchstone_types::ByteSpan;

use super::Retrieval;
use super::ranking::Ranked;
use super::trace::Trace;
use crate::domain::context::{Budget, Piece, Source, assemble};

impl Retrieval {
    /// Assembles a context of at most `chars` characters; `false` when the chunks could not grow.
    pub(super) async fn context(
        &self,
        caller: &Caller,
        hits: &[Ranked],
        chars: usize,
        trace: &mut Trace,
    ) -> (Vec<ContextPassage>, bool) {
        let since = Instant::now();
        let hits = &hits[..hits.len().min(self.config().context.hits)];
        if hits.is_empty() {
            trace.stage("context", since, None, Vec::new, Vec::new);
            return (Vec::new(), true);
        }
        let (sources, grown) = self.sources(caller, hits).await;
        let budget = Budget {
            chars,
            document_share: self.config().context.document_share,
        };
        let places: Vec<usize> = sources.iter().map(|(at, _)| *at).collect();
        let sources: Vec<Source> = sources.into_iter().map(|(_, source)| source).collect();
        let (chosen, left) = assemble(&sources, budget);
        let passages: Vec<ContextPassage> = chosen
            .into_iter()
            .enumerate()
            .map(|(at, chosen)| to_passage(at + 1, &hits[places[chosen.source]], chosen.piece))
            .collect();
        let note = (!grown).then(|| "document did not answer: chunks stand alone".to_owned());
        let kept = || {
            let entry = |passage: &ContextPassage| StageCandidate {
                chunk_id: passage.chunk_id,
                score: passage.score,
            };
            passages.iter().map(entry).collect()
        };
        let dropped = || {
            left.iter()
                .map(|(at, why)| Dropped {
                    chunk_id: hits[places[*at]].candidate.id,
                    reason: why.reason().to_owned(),
                })
                .collect()
        };
        trace.stage("context", since, note, kept, dropped);
        (passages, grown)
    }

    /// Hits with their parents. A hit whose document is gone by now is left out.
    async fn sources(&self, caller: &Caller, hits: &[Ranked]) -> (Vec<(usize, Source)>, bool) {
        let spans = hits
            .iter()
            .map(|hit| {
                let payload = &hit.candidate.payload;
                PassageSpan {
                    document_id: payload.document_id,
                    version: payload.version,
                    start: payload.start,
                    end: payload.end,
                }
            })
            .collect();
        let request = PassagesRequest {
            spans,
            grow_to: self.config().context.parent_bytes,
        };
        let chunk = |hit: &Ranked| {
            let payload = &hit.candidate.payload;
            Piece {
                document: payload.document_id,
                span: ByteSpan::new(payload.start, payload.end.max(payload.start)),
                text: payload.text.clone(),
            }
        };
        match self.document().passages(caller, &request).await {
            Ok(response) => {
                let sources = response.passages.into_iter().zip(hits).enumerate();
                let sources = sources.filter_map(|(at, (parent, hit))| {
                    let parent = parent?;
                    let parent = Piece {
                        document: parent.document_id,
                        span: ByteSpan::new(parent.start, parent.end.max(parent.start)),
                        text: parent.text,
                    };
                    Some((
                        at,
                        Source {
                            chunk: chunk(hit),
                            parent,
                        },
                    ))
                });
                (sources.collect(), true)
            }
            Err(error) => {
                tracing::warn!(error = %touchstone_error::chain(&error), "document does not answer, chunks stay as they are");
                let alone = |(at, hit)| {
                    (
                        at,
                        Source {
                            chunk: chunk(hit),
                            parent: chunk(hit),
                        },
                    )
                };
                (hits.iter().enumerate().map(alone).collect(), false)
            }
        }
    }
}

fn to_passage(marker: usize, hit: &Ranked, piece: Piece) -> ContextPassage {
    let payload = &hit.candidate.payload;
    ContextPassage {
        marker,
        document_id: piece.document,
        version: payload.version,
        chunk_id: hit.candidate.id,
        title: payload.title.clone(),
        start: piece.span.start,
        end: piece.span.end,
        text: piece.text,
        language: payload.language.clone(),
        score: hit.score,
        metadata: payload.metadata.clone(),
    }
}
