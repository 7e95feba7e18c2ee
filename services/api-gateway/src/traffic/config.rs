use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use touchstone_config::Problems;
use touchstone_resilience::{breaker, bulkhead, hedge, limit, stream, upstream};

/// What was deleted through another gateway is answered no longer than this, whatever fails.
const LONGEST: Duration = Duration::from_mins(1);

/// Answers that are used again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheConfig {
    /// Whether reads and searches share answers at all; without, each one is a call.
    pub enabled: bool,
    /// Memory for answers; 0 keeps none.
    pub bytes: ByteSize,
    /// Largest answer that is kept.
    pub answer: ByteSize,
    /// How long the answer to a search is used again.
    #[serde(with = "humantime_serde")]
    pub search: Duration,
    /// How long the answer to another read is used again; 0 asks the service each time.
    #[serde(with = "humantime_serde")]
    pub read: Duration,
    /// How long after that an answer stands in for a service that fails.
    #[serde(with = "humantime_serde")]
    pub stale: Duration,
    /// How long an answer to a question stands in when neither generation nor retrieval answers.
    #[serde(with = "humantime_serde")]
    pub questions: Duration,
}

impl CacheConfig {
    pub(crate) fn check(&self, problems: &mut Problems) {
        problems.check(
            self.answer.as_u64() <= 1024 * 1024,
            "cache.answer",
            "must be <= 1 MiB",
        );
        for (key, value) in [("cache.search", self.search), ("cache.read", self.read)] {
            problems.check(
                value.subsec_nanos() == 0,
                key,
                "must be whole seconds: services are told so in `Age`",
            );
        }
        problems.check(
            self.search.max(self.read).saturating_add(self.stale) <= LONGEST,
            "cache.stale",
            "must not exceed 1m together with `cache.search` and `cache.read`",
        );
        problems.check(
            self.questions <= LONGEST,
            "cache.questions",
            "must be <= 1m",
        );
    }
}

/// How calls to services are protected.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamsConfig {
    /// Most calls of one service at a time; each counts until its answer has ended.
    pub places: u32,
    /// Calls that may wait for a place.
    pub queue: u32,
    /// How long they wait before they are refused.
    #[serde(with = "humantime_serde")]
    pub wait: Duration,
    /// Calls at a time at the start of the adaptive limit; 0 turns it off.
    pub adaptive: u32,
    /// Attempts of one request, the first one included.
    pub attempts: u32,
    /// Second attempts of late reads, per request; 0 turns them off.
    pub hedge_share: f64,
    /// Failures in a row that open a breaker.
    pub failures_in_a_row: u32,
    /// First time that a breaker stays open.
    #[serde(with = "humantime_serde")]
    pub open_for: Duration,
    /// A first frame that takes longer is slow.
    #[serde(with = "humantime_serde")]
    pub slow_start: Duration,
    /// The same for answers of generation.
    #[serde(with = "humantime_serde")]
    pub slow_answer: Duration,
}

impl UpstreamsConfig {
    pub(crate) fn check(&self, problems: &mut Problems) {
        problems.check(self.places > 0, "upstreams.places", "must be positive");
        problems.check(
            self.adaptive <= self.places,
            "upstreams.adaptive",
            "must not exceed `upstreams.places`",
        );
        problems.check(
            (1..=5).contains(&self.attempts),
            "upstreams.attempts",
            "must be 1 to 5",
        );
        problems.check(
            (0.0..=0.5).contains(&self.hedge_share),
            "upstreams.hedge_share",
            "must be 0 to 0.5",
        );
        problems.check(
            self.failures_in_a_row > 0,
            "upstreams.failures_in_a_row",
            "must be positive",
        );
    }

    /// The policies of a service.
    pub(crate) fn of(&self, service: &str) -> upstream::Config {
        let answers = service == "generation";
        // Streams hold their places for as long as they last: how many there are says nothing about
        // how much work there is.
        let limit = (self.adaptive > 0 && !answers).then(|| limit::Config {
            initial: self.adaptive,
            least: self.adaptive.min(16),
            most: self.places,
            ..limit::Config::default()
        });
        upstream::Config {
            breaker: breaker::Config {
                failures_in_a_row: self.failures_in_a_row,
                open_for: self.open_for,
                ..breaker::Config::default()
            },
            retry: upstream::Retry {
                attempts: self.attempts,
                ..upstream::Retry::default()
            },
            bulkhead: bulkhead::Config {
                most: self.places,
                queue: self.queue,
                wait: self.wait,
                ..bulkhead::Config::default()
            },
            limit,
            hedge: hedge::Config {
                share: self.hedge_share,
                ..hedge::Config::default()
            },
            stream: stream::Config {
                slow_start: if answers {
                    self.slow_answer
                } else {
                    self.slow_start
                },
                ..stream::Config::default()
            },
            ..upstream::Config::default()
        }
    }
}
