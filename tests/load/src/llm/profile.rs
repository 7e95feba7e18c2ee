//! An answer of a simulated server of a language model: how fast it comes, and what is wrong with it.

use std::time::Duration;

use touchstone_simulated_model::{Profile, Random, by_share, under_load};

/// Shares of the answers that fail.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// 429 before the first byte.
    pub rate_limited: f64,
    /// 500 before the first byte.
    pub server_error: f64,
    /// The stream breaks in its middle.
    pub cut: f64,
    /// A chunk in the middle is no JSON.
    pub malformed: f64,
    /// A mark of a passage that was not given.
    pub fabricated: f64,
}

/// A fault that was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429.
    RateLimited,
    /// 500.
    ServerError,
    /// The stream breaks after so many tokens.
    Cut(usize),
    /// The chunk of this number is no JSON.
    Malformed(usize),
    /// The answer cites what is not there.
    Fabricated,
}

/// A server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Model {
    /// Its delays.
    pub profile: Profile,
    /// Answers that are written at the same time.
    pub slots: usize,
    /// Answers that may wait for a slot.
    pub queue: usize,
    /// How much longer delays are when every slot is taken: 0.5 is by a half.
    pub load_factor: f64,
    /// Median tokens of an answer.
    pub tokens: f64,
    /// Deviation of the logarithm of it.
    pub tokens_sigma: f64,
    /// What it does wrong.
    pub faults: Faults,
    /// Seed of everything that is drawn.
    pub seed: u64,
}

/// An answer, as it is to be delivered by an idle server.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// From the begin to the first token.
    pub first: Duration,
    /// Before each token after the first.
    pub gaps: Vec<Duration>,
    /// What goes wrong.
    pub fault: Option<Fault>,
}

impl Script {
    /// Tokens in it.
    pub const fn tokens(&self) -> usize {
        self.gaps.len() + 1
    }
}

impl Model {
    /// The answer to a prompt: `key` is anything that stands for the prompt.
    pub fn script(&self, key: u64, prompt_tokens: usize, cached: usize, most: usize) -> Script {
        let mut random = Random::of(&[&key.to_le_bytes()], self.seed);
        let unread = prompt_tokens.saturating_sub(cached);
        let first = self
            .profile
            .first_token(u32::try_from(unread).unwrap_or(u32::MAX), &mut random);
        let drawn = random.log_normal(self.tokens, self.tokens_sigma).round() as usize;
        let tokens = drawn.clamp(1, most.max(1));
        let gaps: Vec<Duration> = (1..tokens).map(|_| self.profile.gap(&mut random)).collect();
        let fault = self.fault(&mut random, tokens);
        Script { first, gaps, fault }
    }

    fn fault(&self, random: &mut Random, tokens: usize) -> Option<Fault> {
        let (draw, place) = (random.unit(), random.below(tokens));
        let shares = [
            (self.faults.rate_limited, Fault::RateLimited),
            (self.faults.server_error, Fault::ServerError),
            (self.faults.cut, Fault::Cut(place)),
            (self.faults.malformed, Fault::Malformed(place)),
            (self.faults.fabricated, Fault::Fabricated),
        ];
        by_share(draw, &shares)
    }

    /// What a delay becomes with so many slots taken.
    pub fn under_load(&self, delay: Duration, busy: usize) -> Duration {
        let load = busy as f64 / self.slots.max(1) as f64;
        under_load(delay, self.load_factor, load)
    }
}
