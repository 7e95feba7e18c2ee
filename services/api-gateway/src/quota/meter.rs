//! Tokens of language models: reserved before a request, metered while its answer passes, settled
//! when it ends or its client leaves, and cut when the budget ends first.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use serde_json::json;
use touchstone_cache::quota::{Closed, Decision, Policy, QuotaStore, Receipt};
use touchstone_lifecycle::Lifecycle;

/// Tokens that are reserved for an answer whose request does not say how long it may be.
const ANSWER: u64 = 512;
/// Bytes of a token, about.
const TOKEN_BYTES: u64 = 4;
/// Tokens that are reserved when a reservation is used up.
const MORE: u64 = 64;
/// What the services say that an answer took.
const USAGE: &[u8] = b"\"total_tokens\":";

/// Tokens that a request probably takes: its own, and those of the answer. No limit is larger than
/// this, so that whoever asks for more gets all that is left.
pub(crate) fn estimate(body: &[u8]) -> u64 {
    let own = (body.len() as u64).div_ceil(TOKEN_BYTES);
    let asked = serde_json::from_slice::<serde_json::Value>(body).ok();
    let asked = asked.and_then(|body| body.get("max_tokens")?.as_u64());
    let tokens = own.saturating_add(asked.unwrap_or(ANSWER));
    tokens.min(u64::from(u32::MAX))
}

/// A caller's budget of tokens during one request. One that is dropped before it was settled gives
/// everything back: its request got no answer.
pub(crate) struct Budget {
    pub store: Arc<dyn QuotaStore>,
    pub life: Lifecycle,
    pub subject: Arc<str>,
    pub policy: Arc<Policy>,
    /// What was charged so far.
    pub reserved: Vec<(Receipt, u64)>,
}

impl Budget {
    fn total(&self) -> u64 {
        self.reserved.iter().map(|(_, units)| units).sum()
    }

    /// Gives back what was not used, or charges what was used beyond, in the background.
    pub fn settle(mut self, used: u64) {
        self.give_back(used);
    }

    fn give_back(&mut self, used: u64) {
        let total = self.total();
        let mut reserved = std::mem::take(&mut self.reserved);
        if used == total {
            return;
        }
        let (store, policy) = (Arc::clone(&self.store), Arc::clone(&self.policy));
        let subject = Arc::clone(&self.subject);
        self.life.spawn_for_client("quota.settle", async move {
            if used > total {
                let _ = reserve(&*store, &subject, &policy, used - total).await;
                return;
            }
            let mut back = total - used;
            // The latest first: its part is the most likely to be remembered.
            while let Some((receipt, units)) = reserved.pop().filter(|_| back > 0) {
                let part = units.min(back);
                store.refund(&subject, &policy, receipt, part).await;
                back -= part;
            }
        });
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.give_back(0);
    }
}

/// Charges as many tokens as are asked for, or as there are. The decision is a denial when there are
/// none.
pub(crate) async fn reserve(
    store: &dyn QuotaStore,
    subject: &str,
    policy: &Policy,
    tokens: u64,
) -> Result<(Decision, u64), Closed> {
    let decision = store.charge(subject, policy, tokens).await?;
    if decision.verdict.is_admitted() {
        return Ok((decision, tokens));
    }
    let left = decision.standings.iter().map(|standing| standing.remaining);
    let left = left.min().unwrap_or(0).min(tokens);
    if left == 0 {
        return Ok((decision, 0));
    }
    let rest = store.charge(subject, policy, left).await?;
    let granted = if rest.verdict.is_admitted() { left } else { 0 };
    Ok((rest, granted))
}

type Asking = Pin<Box<dyn Future<Output = Option<(Receipt, u64)>> + Send>>;

/// A response's body whose tokens are counted.
pub(crate) struct MeteredBody {
    inner: Body,
    /// Taken when it is settled.
    budget: Option<Budget>,
    /// Whether it is a stream of events, each about a token; and whether OpenAI's clients read it.
    events: bool,
    openai: bool,
    used: u64,
    /// What the service said that it took.
    told: Option<u64>,
    /// A frame that waits for its tokens.
    held: Option<Frame<Bytes>>,
    asking: Option<Asking>,
    /// The last bytes, to know whether an event is complete.
    tail: [u8; 2],
}

impl MeteredBody {
    pub fn new(inner: Body, budget: Budget, events: bool, openai: bool) -> Self {
        Self {
            inner,
            budget: Some(budget),
            events,
            openai,
            used: 0,
            told: None,
            held: None,
            asking: None,
            tail: *b"\n\n",
        }
    }

    fn count(&mut self, data: &[u8]) {
        if let Some(told) = usage(data) {
            self.told = Some(told);
        }
        self.used += if self.events {
            occurrences(data, b"data:")
        } else {
            (data.len() as u64).div_ceil(TOKEN_BYTES)
        };
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.data_ref().map(|data| &data[..]) {
            Some([.., before, last]) => self.tail = [*before, *last],
            Some([only]) => self.tail = [self.tail[1], *only],
            _ => {}
        }
        frame
    }

    /// The last frame of a stream whose budget has ended.
    fn cut(&mut self) -> Frame<Bytes> {
        let counted = self.used;
        self.settle(counted);
        // Frees the service at once, not when the client reads on.
        self.inner = Body::empty();
        let (code, detail) = ("gateway.quota_exceeded", "the quota of tokens is used up");
        let event = if self.openai {
            let error = json!({ "message": detail, "type": "insufficient_quota", "code": code });
            format!("data: {}\n\n", json!({ "error": error }))
        } else {
            let error = json!({ "code": code, "detail": detail });
            format!("event: error\ndata: {error}\n\n")
        };
        let gap = if self.tail == *b"\n\n" { "" } else { "\n\n" };
        Frame::data(Bytes::from(format!("{gap}{event}")))
    }

    fn settle(&mut self, used: u64) {
        if let Some(mut budget) = self.budget.take() {
            // Answers that are cut used what was reserved, not what they would have taken.
            budget.reserved.retain(|(_, units)| *units > 0);
            budget.settle(used);
        }
    }
}

impl HttpBody for MeteredBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(asking) = &mut self.asking {
            let granted = ready!(asking.as_mut().poll(cx));
            self.asking = None;
            let Some(granted) = granted else {
                self.held = None;
                let total = self.budget.as_ref().map_or(0, Budget::total);
                self.used = self.used.min(total);
                return Poll::Ready(Some(Ok(self.cut())));
            };
            if let Some(budget) = &mut self.budget {
                budget.reserved.push(granted);
            }
        }
        if let Some(frame) = self.held.take() {
            let frame = self.pass(frame);
            return Poll::Ready(Some(Ok(frame)));
        }
        match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let data = data.clone();
                    self.count(&data);
                }
                let lacking = self.budget.as_ref().and_then(|budget| {
                    let lacking = self.used.saturating_sub(budget.total());
                    (self.events && lacking > 0).then(|| more(budget, lacking.max(MORE), lacking))
                });
                if let Some(asking) = lacking {
                    self.asking = Some(asking);
                    self.held = Some(frame);
                    return self.poll_frame(cx);
                }
                let frame = self.pass(frame);
                Poll::Ready(Some(Ok(frame)))
            }
            end => {
                let used = self.told.unwrap_or(self.used);
                self.settle(used);
                Poll::Ready(end)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.asking.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.events {
            return SizeHint::default();
        }
        self.inner.size_hint()
    }
}

impl Drop for MeteredBody {
    /// The client left, or the answer was read to its end.
    fn drop(&mut self) {
        let used = self.told.unwrap_or(self.used);
        self.settle(used);
    }
}

/// Asks for more tokens; `None` when there are not even those that lack.
fn more(budget: &Budget, tokens: u64, lacking: u64) -> Asking {
    let (store, policy) = (Arc::clone(&budget.store), Arc::clone(&budget.policy));
    let subject = Arc::clone(&budget.subject);
    Box::pin(async move {
        let (decision, granted) = reserve(&*store, &subject, &policy, tokens).await.ok()?;
        let receipt = decision.receipt?;
        if granted < lacking {
            store.refund(&subject, &policy, receipt, granted).await;
            return None;
        }
        Some((receipt, granted))
    })
}

fn occurrences(data: &[u8], what: &[u8]) -> u64 {
    data.windows(what.len())
        .filter(|part| *part == what)
        .count() as u64
}

/// The last count of tokens that is told. Inside of texts its quotes would be escaped.
fn usage(data: &[u8]) -> Option<u64> {
    let at = data.windows(USAGE.len()).rposition(|part| part == USAGE)?;
    let rest = data.get(at + USAGE.len()..)?.trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
