use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use touchstone_config::Problems;

/// Answers that are used again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheConfig {
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
        // A document that is deleted through another gateway must not be shown for long.
        for (key, value) in [("cache.search", self.search), ("cache.read", self.read)] {
            problems.check(
                value <= Duration::from_mins(1) && value.subsec_nanos() == 0,
                key,
                "must be whole seconds, at most 1m",
            );
        }
        problems.check(
            self.stale <= Duration::from_mins(10),
            "cache.stale",
            "must be <= 10m",
        );
    }
}
