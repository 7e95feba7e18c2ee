//! How fast a simulated server of a language model is, and what it does wrong.

use std::time::Duration;

use crate::arrivals::Random;

/// Delays of a kind of server: log-normal, with rare stalls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// Median milliseconds to the first token of a short prompt.
    pub first_token_ms: f64,
    /// Deviation of the logarithm of it.
    pub first_token_sigma: f64,
    /// Milliseconds more per thousand tokens of the prompt that are not in the cache.
    pub prompt_ms_per_1000: f64,
    /// Median milliseconds between tokens.
    pub gap_ms: f64,
    /// Deviation of the logarithm of it.
    pub gap_sigma: f64,
    /// Share of the gaps that are stalls.
    pub stall_rate: f64,
    /// Median milliseconds of a stall.
    pub stall_ms: f64,
}

const fn profile(name: &'static str, first_token_ms: f64, gap_ms: f64) -> Profile {
    Profile {
        name,
        first_token_ms,
        first_token_sigma: 0.5,
        prompt_ms_per_1000: first_token_ms / 10.0,
        gap_ms,
        gap_sigma: 0.3,
        stall_rate: 0.001,
        stall_ms: 1_500.0,
    }
}

/// The known profiles, of the same names and numbers as those of the stack's simulated provider.
pub const PROFILES: [Profile; 8] = [
    profile("gpt-4o", 400.0, 25.0),
    profile("gpt-5", 600.0, 40.0),
    profile("gpt-5-mini", 300.0, 20.0),
    profile("haiku", 200.0, 15.0),
    profile("sonnet", 500.0, 30.0),
    profile("8b-h100", 90.0, 12.0),
    profile("8b-l40s", 230.0, 30.0),
    profile("70b-h100x4", 320.0, 32.0),
];

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
        let mut random = Random::new(self.seed ^ key, 3);
        let profile = &self.profile;
        let millis = |millis: f64| Duration::from_secs_f64(millis / 1e3);
        let fresh = prompt_tokens.saturating_sub(cached) as f64;
        let reading = profile.prompt_ms_per_1000 * fresh / 1000.0;
        let first = reading + random.log_normal(profile.first_token_ms, profile.first_token_sigma);
        let drawn = random.log_normal(self.tokens, self.tokens_sigma).round() as usize;
        let tokens = drawn.clamp(1, most.max(1));
        let gaps = (1..tokens).map(|_| {
            if random.unit() < profile.stall_rate {
                millis(random.log_normal(profile.stall_ms, 0.5))
            } else {
                millis(random.log_normal(profile.gap_ms, profile.gap_sigma))
            }
        });
        let gaps: Vec<Duration> = gaps.collect();
        let fault = self.fault(&mut random, tokens);
        Script {
            first: millis(first),
            gaps,
            fault,
        }
    }

    fn fault(&self, random: &mut Random, tokens: usize) -> Option<Fault> {
        let (mut draw, place) = (random.unit(), random.below(tokens as u64) as usize);
        let faults = [
            (self.faults.rate_limited, Fault::RateLimited),
            (self.faults.server_error, Fault::ServerError),
            (self.faults.cut, Fault::Cut(place)),
            (self.faults.malformed, Fault::Malformed(place)),
            (self.faults.fabricated, Fault::Fabricated),
        ];
        for (share, fault) in faults {
            if draw < share {
                return Some(fault);
            }
            draw -= share;
        }
        None
    }

    /// What a delay becomes with so many slots taken.
    pub fn under_load(&self, delay: Duration, busy: usize) -> Duration {
        let load = busy as f64 / self.slots.max(1) as f64;
        delay.mul_f64(1.0 + self.load_factor * load.min(1.0))
    }
}
