use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use touchstone_config::{Problems, Section};
use touchstone_store::StoreUri;
use touchstone_store::postgres::Options;

use crate::domain::backoff::Backoff;

/// Most texts that embedding takes at once.
const MAX_EMBED_BATCH: usize = 256;

/// Configuration of document.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where documents are kept.
    pub store: StoreUri,
    /// How long idempotency keys are remembered.
    #[serde(with = "humantime_serde")]
    pub idempotency_ttl: Duration,
    /// What a request may ask for.
    pub limits: Limits,
    /// How texts are cut.
    pub chunker: Chunker,
    /// What parsers may produce.
    pub formats: Formats,
    /// What a parser's process may use.
    pub sandbox: Sandbox,
    /// How documents are worked on.
    pub ingest: Ingest,
    /// How PostgreSQL is used.
    pub postgres: Options,
}

/// What a request may ask for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Largest original.
    pub document: ByteSize,
    /// Most bytes of all passages of one answer.
    pub passages: ByteSize,
    /// Uploads that are checked and hashed at once.
    pub uploads: usize,
}

/// How texts are cut.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chunker {
    /// Characters that a chunk should have.
    pub target_chars: usize,
    /// Characters that no chunk exceeds.
    pub max_chars: usize,
    /// Sentences of a chunk that the next one repeats.
    pub overlap_sentences: usize,
}

/// What parsers may produce.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Formats {
    /// Largest text.
    pub max_text: ByteSize,
}

/// What a parser's process may use.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    /// Processes at once.
    pub processes: usize,
    /// Address space.
    pub memory: ByteSize,
    /// CPU time.
    #[serde(with = "humantime_serde")]
    pub cpu: Duration,
    /// Wall-clock time.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

/// How documents are worked on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    /// Groups at once.
    pub workers: usize,
    /// Most documents in a group.
    pub group_documents: u32,
    /// Most bytes of originals in a group.
    pub group_bytes: ByteSize,
    /// Texts per request to embedding.
    pub embed_batch: usize,
    /// Requests to embedding at once, per group.
    pub embed_parallel: usize,
    /// How long a worker holds a document without a sign of life.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// Longest parse of one document.
    #[serde(with = "humantime_serde")]
    pub parse_deadline: Duration,
    /// Longest request to embedding.
    #[serde(with = "humantime_serde")]
    pub embed_deadline: Duration,
    /// Longest request to vector.
    #[serde(with = "humantime_serde")]
    pub index_deadline: Duration,
    /// Attempts before a document is given up.
    pub attempts: u32,
    /// Leases that may run out before a document is given up.
    pub losses: u32,
    /// First wait.
    #[serde(with = "humantime_serde")]
    pub backoff_first: Duration,
    /// Longest wait.
    #[serde(with = "humantime_serde")]
    pub backoff_most: Duration,
    /// When work that the bus did not bring is taken from the table.
    #[serde(with = "humantime_serde")]
    pub sweep_after: Duration,
    /// How often the table is looked at.
    #[serde(with = "humantime_serde")]
    pub sweep_every: Duration,
}

impl Ingest {
    /// Waits between tries.
    pub const fn backoff(&self) -> Backoff {
        Backoff {
            first: self.backoff_first,
            most: self.backoff_most,
        }
    }
}

impl Section for Config {
    const NAME: &'static str = "document";
    const DEFAULTS: &'static str = include_str!("../config.default.toml");

    fn validate(&self, problems: &mut Problems) {
        self.postgres.validate(problems);
        problems.check(
            self.store.backend().is_ok(),
            "store",
            "must begin with `sqlite:` or `postgres://`",
        );
        let size = self.limits.document.as_u64();
        let sizes = (1..=1 << 30).contains(&size);
        problems.check(sizes, "limits.document", "must be between 1 B and 1 GiB");
        problems.check(
            self.limits.passages.as_u64() > 0,
            "limits.passages",
            "must be positive",
        );
        problems.check(
            self.limits.uploads > 0,
            "limits.uploads",
            "must be positive",
        );
        let chunker = &self.chunker;
        problems.check(
            chunker.target_chars >= 64,
            "chunker.target_chars",
            "must be at least 64",
        );
        let wide = chunker.max_chars >= chunker.target_chars;
        problems.check(wide, "chunker.max_chars", "must be at least `target_chars`");
        problems.check(
            self.formats.max_text.as_u64() > 0,
            "formats.max_text",
            "must be positive",
        );
        problems.check(
            self.sandbox.processes > 0,
            "sandbox.processes",
            "must be positive",
        );
        let ingest = &self.ingest;
        problems.check(ingest.workers > 0, "ingest.workers", "must be positive");
        let group = (1..=256).contains(&ingest.group_documents);
        problems.check(group, "ingest.group_documents", "must be 1 to 256");
        let batch = (1..=MAX_EMBED_BATCH).contains(&ingest.embed_batch);
        problems.check(batch, "ingest.embed_batch", "must be 1 to 256");
        problems.check(
            ingest.embed_parallel > 0,
            "ingest.embed_parallel",
            "must be positive",
        );
        problems.check(ingest.attempts > 0, "ingest.attempts", "must be positive");
        problems.check(ingest.losses > 0, "ingest.losses", "must be positive");
        let longest = ingest
            .parse_deadline
            .max(ingest.embed_deadline)
            .max(ingest.index_deadline);
        let lease = ingest.lease > longest;
        problems.check(lease, "ingest.lease", "must be longer than every deadline");
        let backoff =
            ingest.backoff_first > Duration::ZERO && ingest.backoff_first <= ingest.backoff_most;
        problems.check(
            backoff,
            "ingest.backoff_first",
            "must be positive and at most `backoff_most`",
        );
        problems.check(
            ingest.sweep_every > Duration::ZERO,
            "ingest.sweep_every",
            "must be positive",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_their_own_rules() {
        let config: Config = touchstone_config::defaults();
        insta::assert_json_snapshot!("defaults", config);
    }

    #[test]
    fn a_lease_shorter_than_a_deadline_is_told() {
        let mut config: Config = touchstone_config::defaults();
        config.ingest.lease = Duration::from_secs(10);
        config.ingest.workers = 0;
        let mut problems = Problems::new("document");
        config.validate(&mut problems);
        assert_eq!(problems.into_found().len(), 2);
    }
}
