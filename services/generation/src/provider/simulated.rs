use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, stream};
use touchstone_simulated_model::{PROFILES, Profile, Slot, Slots, Turn, under_load};

use super::{Delta, Deltas, Error, Finish, Provider, Usage};
use crate::config::SimulatedConfig;
use crate::domain::extract::Limits;
use crate::domain::prompt::Prompt;
use crate::domain::simulate::{Author, Failure, Script};

/// Behaves like a loaded language model: grounded text, queues, delays and failures, all by seed.
#[derive(Debug)]
pub struct Simulated {
    config: SimulatedConfig,
    profile: Profile,
    limits: Limits,
    slots: Slots,
}

impl Simulated {
    /// A provider after the configuration; an unknown profile counts as `instant`.
    pub fn new(config: SimulatedConfig, limits: Limits, slots: Slots) -> Self {
        let profile = Profile::named(&config.profile).unwrap_or(PROFILES[0]);
        Self {
            config,
            profile,
            limits,
            slots,
        }
    }

    /// Its slots.
    pub const fn slots(&self) -> &Slots {
        &self.slots
    }

    fn write(&self, prompt: &Prompt) -> Script {
        let author = Author {
            model: self.profile.name,
            seed: self.config.seed,
            profile: self.profile,
            faults: self.config.faults.into(),
            errors: self.config.errors.into(),
            limits: self.limits,
        };
        author.write(prompt)
    }
}

/// An answer under way.
struct Answer {
    slots: Slots,
    load_factor: f64,
    turn: Option<Turn>,
    slot: Option<Slot>,
    pieces: VecDeque<(Duration, String)>,
    /// Pieces until the stream breaks.
    cut: Option<usize>,
    sent: u32,
    prompt_tokens: u32,
    finish: Finish,
    ended: bool,
}

impl Answer {
    async fn next(mut self) -> Option<(Result<Delta, Error>, Self)> {
        if self.ended {
            return None;
        }
        if let Some(turn) = self.turn.take() {
            self.slot = turn.await;
        }
        if self.cut == Some(self.sent as usize) {
            self.ended = true;
            self.slot = None;
            return Some((Err(Error::BrokenOff("simulated".into())), self));
        }
        let Some((wait, piece)) = self.pieces.pop_front() else {
            self.ended = true;
            self.slot = None;
            let usage = Usage {
                prompt_tokens: self.prompt_tokens,
                completion_tokens: self.sent,
            };
            return Some((
                Ok(Delta::End {
                    finish: self.finish,
                    usage,
                }),
                self,
            ));
        };
        // A full house writes more slowly; alone, at the drawn pace.
        let wait = under_load(wait, self.load_factor, self.slots.load());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        self.sent += 1;
        Some((Ok(Delta::Text(piece)), self))
    }
}

#[async_trait]
impl Provider for Simulated {
    fn kind(&self) -> &'static str {
        "simulated"
    }

    fn model(&self) -> &str {
        self.profile.name
    }

    async fn generate(&self, prompt: Prompt) -> Result<Deltas, Error> {
        let script = self.write(&prompt);
        let cut = match script.failure {
            Some(Failure::RateLimited(after)) => {
                return Err(Error::Overloaded {
                    retry_after: Some(after),
                });
            }
            Some(Failure::ServerError) => return Err(Error::Unavailable("simulated".into())),
            Some(Failure::Cut(after)) => Some(after),
            None => None,
        };
        let full = Error::Overloaded {
            retry_after: Some(Duration::from_secs(1)),
        };
        let mut turn = self.slots.queue().ok_or(full)?;
        // Takes its place in the queue now, not when somebody reads.
        let slot = (&mut turn).now_or_never().flatten();
        let is_cut_short = script.pieces.len() >= prompt.max_tokens as usize;
        let answer = Answer {
            slots: self.slots.clone(),
            load_factor: self.config.load_factor,
            turn: slot.is_none().then_some(turn),
            slot,
            pieces: script.pieces.into(),
            cut,
            sent: 0,
            prompt_tokens: prompt.tokens(),
            finish: if is_cut_short {
                Finish::Length
            } else {
                Finish::Stop
            },
            ended: false,
        };
        Ok(Box::pin(stream::unfold(answer, Answer::next)))
    }
}
