use futures_util::{FutureExt, Stream, StreamExt, future, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use touchstone_api::generation::{
    AskEvent, AskResponse, Citation, DoneEvent, StreamError, TokenEvent, Verdict, Verification,
};
use touchstone_error::Classify;
use touchstone_types::ConversationId;
use uuid::Uuid;

use super::record::Record;
use super::{Generation, Prepared, wire_usage};
use crate::config::Release;
use crate::domain::abstain;
use crate::domain::extract::write_passages;
use crate::domain::gate::{self, Claim, Evidence, Gate};
use crate::domain::passage::Passage;
use crate::domain::sanitize::Sanitizer;
use crate::error::Error;
use crate::metrics::VerdictLabel;
use crate::provider::{self, Delta, Deltas, Usage};
use crate::store::Target;

/// Events that may wait for a slow reader.
const EVENTS_AHEAD: usize = 32;
/// Passages shown when there is no language model.
const PASSAGES_SHOWN: usize = 3;
/// Name of the writer of such an answer.
const PASSAGES_WRITER: &str = "passages";
/// Part that is missing then.
const MISSING: &str = "generation";

/// A provider's word, when it is there.
type Begun = future::BoxFuture<'static, Result<Deltas, provider::Error>>;

/// An answer under way: its provider has been called.
pub struct Answer {
    service: Generation,
    prepared: Prepared,
    begun: Begun,
}

impl Generation {
    /// Calls the provider; nothing happens until the answer is polled.
    pub fn answer(&self, prepared: Prepared) -> Answer {
        let (provider, prompt) = (prepared.provider.clone(), prepared.prompt.clone());
        let begun = async move { provider.generate(prompt).await }.boxed();
        Answer {
            service: self.clone(),
            prepared,
            begun,
        }
    }
}

impl Answer {
    /// Waits for the provider's word, but no longer than configured, and tells which parts of the
    /// answer are known to be missing.
    pub async fn settle(&mut self) -> Vec<String> {
        let mut degraded = self.prepared.degraded.clone();
        if self.prepared.passages.is_empty() {
            return degraded;
        }
        let wait = self.service.inner.config.accept_wait;
        if let Ok(begun) = tokio::time::timeout(wait, &mut self.begun).await {
            if begun.is_err() {
                degraded.push(MISSING.to_owned());
            }
            self.begun = future::ready(begun).boxed();
        }
        degraded
    }

    /// The events of the answer. Dropping the stream cancels the provider.
    pub fn events(self) -> impl Stream<Item = AskEvent> + Send + 'static {
        let (sender, receiver) = mpsc::channel(EVENTS_AHEAD);
        let events = Events(Some(sender));
        let work = async move {
            if let Err(error) = self.run(&events, true).await {
                let (code, detail) = (error.code().to_owned(), error.detail());
                tracing::warn!(error = %touchstone_error::chain(&error), "an answer broke off");
                events
                    .send(AskEvent::Error(StreamError { code, detail }))
                    .await;
            }
        };
        let work = work.into_stream().filter_map(|()| future::ready(None));
        stream::select(ReceiverStream::new(receiver), work)
    }

    /// The whole answer.
    pub async fn whole(self) -> Result<AskResponse, Error> {
        let retrieval = self.prepared.summary.clone();
        let outcome = self.run(&Events(None), false).await?;
        Ok(AskResponse {
            answer: outcome.done.answer,
            citations: outcome.citations,
            verification: outcome.verification,
            retrieval,
            usage: wire_usage(outcome.usage),
            provider: outcome.done.provider,
            conversation_id: outcome.done.conversation_id,
            degraded: outcome.done.degraded,
        })
    }

    /// Writes, checks, keeps. What a stream has sent cannot be taken back, so a provider that
    /// breaks off ends it; an answer as a whole falls back to the passages.
    async fn run(self, events: &Events, is_stream: bool) -> Result<Outcome, Error> {
        let Self {
            service,
            prepared,
            begun,
        } = self;
        let Prepared {
            question,
            owner,
            target,
            provider,
            passages,
            summary,
            mut degraded,
            release,
            ..
        } = prepared;
        let nil = ConversationId::from_uuid(Uuid::nil());
        let conversation_id = target.as_ref().map_or(nil, Target::id);
        let name = provider.name().to_owned();
        let record = Record::new(service.clone(), owner, target, question.clone(), name);
        events.send(AskEvent::Retrieval(summary)).await;
        let mut writer = Writer::new(&service, &question, passages, release, events, record);
        let mut usage = Usage::default();
        if !writer.passages.is_empty() {
            let written = match begun.await {
                Ok(deltas) => writer.write(deltas).await,
                Err(error) => Err(error),
            };
            match written {
                Ok(counted) => usage = counted,
                Err(error) if is_stream && writer.has_sent => {
                    writer.record.keep(false, "failed").await?;
                    return Err(error.into());
                }
                Err(_) => {
                    degraded.push(MISSING.to_owned());
                    writer.write_passages().await;
                }
            }
        }
        let abstained = writer.conclude().await;
        let outcome = match (abstained, degraded.iter().any(|part| part == MISSING)) {
            (true, _) => "abstained",
            (false, true) => "degraded",
            (false, false) => "complete",
        };
        let Writer {
            mut record,
            verification,
            ..
        } = writer;
        record.keep(true, outcome).await?;
        let done = DoneEvent {
            answer: std::mem::take(&mut record.text),
            provider: record.provider.clone(),
            conversation_id,
            degraded,
        };
        events
            .send(AskEvent::Verification(verification.clone()))
            .await;
        events.send(AskEvent::Usage(wire_usage(usage))).await;
        events.send(AskEvent::Done(done.clone())).await;
        let citations = std::mem::take(&mut record.citations);
        Ok(Outcome {
            done,
            citations,
            verification,
            usage,
        })
    }
}

/// Where events go; nowhere when only the whole answer is wanted.
struct Events(Option<mpsc::Sender<AskEvent>>);

impl Events {
    async fn send(&self, event: AskEvent) {
        if let Some(sender) = &self.0 {
            // The receiver lives in the same stream: it is gone only when all of it is.
            let _ = sender.send(event).await;
        }
    }
}

/// A finished answer.
struct Outcome {
    done: DoneEvent,
    citations: Vec<Citation>,
    verification: Verification,
    usage: Usage,
}

/// Takes a provider's pieces through the sanitizer and the gate.
struct Writer<'a> {
    service: &'a Generation,
    question: &'a str,
    passages: Vec<Passage>,
    release: Release,
    events: &'a Events,
    record: Record,
    sanitizer: Sanitizer,
    gate: Gate,
    verification: Verification,
    has_sent: bool,
}

impl<'a> Writer<'a> {
    fn new(
        service: &'a Generation,
        question: &'a str,
        passages: Vec<Passage>,
        release: Release,
        events: &'a Events,
        record: Record,
    ) -> Self {
        let min_support = service.inner.config.gate.min_support;
        Self {
            gate: Gate::new(question, passages.clone(), min_support),
            sanitizer: Sanitizer::default(),
            verification: Verification::default(),
            has_sent: false,
            service,
            question,
            passages,
            release,
            events,
            record,
        }
    }

    async fn write(&mut self, mut deltas: Deltas) -> Result<Usage, provider::Error> {
        while let Some(delta) = deltas.next().await {
            match delta? {
                Delta::Text(text) => {
                    let text = self.sanitizer.push(&text);
                    self.take(&text).await;
                }
                Delta::End { usage, .. } => {
                    drop(deltas);
                    self.close().await;
                    return Ok(usage);
                }
            }
        }
        Err(provider::Error::BrokenOff(
            "the stream ended without its end".into(),
        ))
    }

    /// Starts over with the passages themselves.
    async fn write_passages(&mut self) {
        let min_support = self.service.inner.config.gate.min_support;
        self.gate = Gate::new(self.question, self.passages.clone(), min_support);
        self.sanitizer = Sanitizer::default();
        self.verification = Verification::default();
        self.record.text.clear();
        self.record.citations.clear();
        PASSAGES_WRITER.clone_into(&mut self.record.provider);
        let intro = abstain::passages_only(self.question);
        let text = write_passages(intro, &self.passages, PASSAGES_SHOWN);
        let text = self.sanitizer.push(&text);
        self.take(&text).await;
        self.close().await;
    }

    async fn take(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.release == Release::Token {
            self.send(text).await;
        }
        for claim in self.gate.push(text) {
            self.settle(claim).await;
        }
    }

    async fn close(&mut self) {
        let rest = self.sanitizer.finish();
        self.take(&rest).await;
        for claim in self.gate.finish() {
            self.settle(claim).await;
        }
    }

    /// Counts a claim, keeps or strikes it, and tells its citations.
    async fn settle(&mut self, claim: Claim) {
        if let Some(verdict) = claim.verdict {
            let wire = wire_verdict(verdict);
            let label = VerdictLabel {
                verdict: wire.to_string(),
            };
            self.service
                .inner
                .metrics
                .claims
                .get_or_create(&label)
                .inc();
            self.verification.checked += 1;
            self.verification.passed += usize::from(verdict.is_sound());
            self.verification.struck += usize::from(!verdict.is_sound());
        }
        if !claim.is_kept() {
            return;
        }
        self.record.text.push_str(&claim.text);
        if self.release == Release::Claim {
            self.send(&claim.text).await;
        }
        for evidence in &claim.evidence {
            let Some(citation) = self.citation(evidence) else {
                continue;
            };
            if !self.record.citations.contains(&citation) {
                self.record.citations.push(citation.clone());
                self.events.send(AskEvent::Citation(citation)).await;
            }
        }
    }

    /// A citation whose quote is exactly the document's bytes.
    fn citation(&self, evidence: &Evidence) -> Option<Citation> {
        let passage = self.passages.get(evidence.passage)?;
        let quote = evidence.span.of(&passage.text)?.to_owned();
        let span = passage.in_document(evidence.span);
        Some(Citation {
            marker: evidence.marker,
            document_id: passage.document_id,
            title: passage.title.clone(),
            chunk_id: passage.chunk_id,
            start: span.start,
            end: span.end,
            quote,
            verdict: wire_verdict(evidence.verdict),
            url: passage.url.clone(),
        })
    }

    async fn send(&mut self, text: &str) {
        self.has_sent = true;
        self.events
            .send(AskEvent::Token(TokenEvent {
                text: text.to_owned(),
            }))
            .await;
    }

    /// Ends the text; without a single citation left it becomes an abstention. Tells whether.
    async fn conclude(&mut self) -> bool {
        let abstains = self.record.citations.is_empty();
        if abstains {
            let sentence = abstain::sentence(self.question);
            let is_said = self.record.text.trim() == sentence;
            self.verification.abstained = true;
            sentence.clone_into(&mut self.record.text);
            if !is_said && (self.release == Release::Claim || !self.has_sent) {
                self.send(sentence).await;
            }
        } else {
            self.record.text = self.record.text.trim().to_owned();
        }
        abstains
    }
}

const fn wire_verdict(verdict: gate::Verdict) -> Verdict {
    match verdict {
        gate::Verdict::Exact => Verdict::Exact,
        gate::Verdict::Fuzzy => Verdict::Fuzzy,
        gate::Verdict::Misattributed => Verdict::Misattributed,
        gate::Verdict::Frankenquote => Verdict::Frankenquote,
        gate::Verdict::UnsupportedNumber => Verdict::UnsupportedNumber,
        gate::Verdict::Fabricated => Verdict::Fabricated,
    }
}
