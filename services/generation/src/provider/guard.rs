use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::{Delta, Deltas, Error, Finish, Usage};
use crate::config::LimitsConfig;

/// Limits of one answer, whoever writes it.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    limits: LimitsConfig,
    started: Instant,
}

impl Guard {
    /// The answer begins now.
    pub fn start(limits: LimitsConfig) -> Self {
        Self {
            limits,
            started: Instant::now(),
        }
    }

    /// When the first token must be there.
    pub fn first_token_by(&self) -> Instant {
        self.started + self.limits.first_token.min(self.limits.total)
    }
}

struct Guarded {
    deltas: Option<Deltas>,
    guard: Guard,
    by: Instant,
    chars: usize,
    pieces: u32,
    waits_for: &'static str,
}

/// The same pieces, within the limits: a stream that is too slow fails, one that is too long ends.
pub fn guard(deltas: Deltas, guard: Guard) -> Deltas {
    let by = guard.first_token_by();
    let guarded = Guarded {
        deltas: Some(deltas),
        guard,
        by,
        chars: 0,
        pieces: 0,
        waits_for: "first token",
    };
    Box::pin(stream::unfold(guarded, Guarded::next))
}

impl Guarded {
    async fn next(mut self) -> Option<(Result<Delta, Error>, Self)> {
        let mut deltas = self.deltas.take()?;
        let delta = match timeout_at(self.by, deltas.next()).await {
            Err(_) => return Some((Err(Error::Slow(self.waits_for)), self)),
            Ok(None) => {
                let reason = "the stream ended without its end".into();
                return Some((Err(Error::BrokenOff(reason)), self));
            }
            Ok(Some(Err(error))) => return Some((Err(error), self)),
            Ok(Some(Ok(end @ Delta::End { .. }))) => return Some((Ok(end), self)),
            Ok(Some(Ok(Delta::Text(text)))) => text,
        };
        self.pieces += 1;
        self.chars += delta.chars().count();
        let end = self.guard.started + self.guard.limits.total;
        self.by = (Instant::now() + self.guard.limits.between_tokens).min(end);
        self.waits_for = "further token";
        if self.chars > self.guard.limits.output_chars {
            // The provider is dropped here, which cancels it.
            let usage = Usage {
                prompt_tokens: 0,
                completion_tokens: self.pieces,
            };
            return Some((
                Ok(Delta::End {
                    finish: Finish::Length,
                    usage,
                }),
                self,
            ));
        }
        self.deltas = Some(deltas);
        Some((Ok(Delta::Text(delta)), self))
    }
}

/// Waits for the provider's word, no longer than for a first token.
pub(super) async fn accepted<F>(begin: F, by: Instant) -> Result<Deltas, Error>
where
    F: Future<Output = Result<Deltas, Error>>,
{
    timeout_at(by, begin)
        .await
        .unwrap_or(Err(Error::Slow("first token")))
}

/// The time between two tries: doubled each time.
pub(super) fn backoff(first: Duration, tries: u32) -> Duration {
    first.saturating_mul(1_u32 << tries.min(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> LimitsConfig {
        LimitsConfig {
            first_token: Duration::from_secs(3),
            between_tokens: Duration::from_secs(1),
            total: Duration::from_secs(10),
            output_chars: 10,
        }
    }

    fn text(piece: &str) -> Delta {
        Delta::Text(piece.into())
    }

    async fn all(deltas: Deltas) -> Vec<Result<Delta, Error>> {
        guard(deltas, Guard::start(limits())).collect().await
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_falls_silent_fails() {
        let silent: Deltas = Box::pin(stream::pending());
        assert_eq!(all(silent).await, [Err(Error::Slow("first token"))]);
        let stalls: Deltas = Box::pin(stream::iter([Ok(text("a"))]).chain(stream::pending()));
        assert_eq!(
            all(stalls).await,
            [Ok(text("a")), Err(Error::Slow("further token"))]
        );
    }

    #[tokio::test]
    async fn a_stream_that_is_too_long_ends() {
        let endless: Deltas = Box::pin(stream::repeat_with(|| Ok(text("four"))));
        let all = all(endless).await;
        assert_eq!(all.len(), 3);
        assert!(matches!(
            all[2],
            Ok(Delta::End {
                finish: Finish::Length,
                ..
            })
        ));
    }

    #[tokio::test]
    async fn a_stream_without_an_end_is_broken() {
        let short: Deltas = Box::pin(stream::iter([Ok(text("a"))]));
        assert!(matches!(all(short).await[1], Err(Error::BrokenOff(_))));
    }
}
