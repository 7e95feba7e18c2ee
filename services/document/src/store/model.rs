use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use touchstone_api::events::WorkAction;
use touchstone_types::{ByteSpan, DocumentId, DocumentStatus, EventId, Source, TenantId, UserId};
use uuid::Uuid;

pub use crate::domain::ingestion::Refused as Refusal;

/// What the caller brings along for a change: id of its event, time, trace.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// Id of the outbox event that the change may need.
    pub event: EventId,
    /// When.
    pub at: DateTime<Utc>,
    /// When the sweeper may take the work, should the bus not bring it.
    pub visible_at: DateTime<Utc>,
    /// Trace of the request.
    pub traceparent: Option<String>,
}

/// A document, or a new version of one, to be accepted.
#[derive(Clone, Debug)]
pub struct Accept {
    /// Tenant.
    pub tenant: TenantId,
    /// Who sent it.
    pub user: UserId,
    /// The new document's id, or the id of the document to be replaced.
    pub id: DocumentId,
    /// Whether it is a new version of a document that exists.
    pub replaces: bool,
    /// File name.
    pub filename: String,
    /// Media type.
    pub mime: String,
    /// Format, as the parser names it.
    pub format: &'static str,
    /// Language, if given.
    pub language: Option<String>,
    /// Origin.
    pub source: Source,
    /// Free facts.
    pub metadata: BTreeMap<String, String>,
    /// The bytes.
    pub body: Bytes,
    /// Their SHA-256, hex.
    pub sha256: String,
    /// Key of a repeatable request, with a hash of all that it asks.
    pub idempotency: Option<(String, [u8; 32])>,
    /// Event and time.
    pub stamp: Stamp,
}

/// What became of an [`Accept`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Durable.
    New {
        /// Document.
        id: DocumentId,
        /// Its version.
        version: u32,
    },
    /// The key was used before for the same request: the first answer.
    Repeated {
        /// Document.
        id: DocumentId,
        /// Its version.
        version: u32,
    },
    /// The key was used before for another request.
    Mismatch,
    /// The document to be replaced does not exist.
    Unknown,
}

/// Filters of a list.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Only this state.
    pub status: Option<DocumentStatus>,
    /// Only this origin.
    pub source: Option<Source>,
    /// Only created at or after this time.
    pub created_after: Option<DateTime<Utc>>,
    /// Only created before this time.
    pub created_before: Option<DateTime<Utc>>,
}

/// The text of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredText {
    /// Document.
    pub id: DocumentId,
    /// Version.
    pub version: u32,
    /// Title.
    pub title: String,
    /// Text, to which all offsets refer.
    pub body: String,
}

/// A piece of a text that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What the answer calls it.
    pub number: u32,
    /// Document.
    pub id: DocumentId,
    /// Version.
    pub version: u32,
    /// First byte.
    pub start: usize,
    /// Bytes.
    pub length: usize,
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPiece {
    /// As it was called.
    pub number: u32,
    /// The document's title.
    pub title: String,
    /// The bytes.
    pub body: Vec<u8>,
    /// Whether the text ends here.
    pub ends: bool,
}

/// The bytes of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// File name as given.
    pub filename: String,
    /// Media type.
    pub mime: String,
    /// Bytes as given.
    pub body: Bytes,
    /// What they hashed to when they came.
    pub sha256: String,
}

/// A chunk without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewChunk {
    /// Position, from 0.
    pub ordinal: u32,
    /// Bytes of the text.
    pub span: ByteSpan,
    /// Heading above it.
    pub heading: Option<String>,
}

/// Chunks of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkList {
    /// Dense model of the points in the index; part of the chunks' ids.
    pub model: Option<String>,
    /// Chunks, by ordinal.
    pub chunks: Vec<NewChunk>,
}

/// A document that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// Document.
    pub id: DocumentId,
    /// Version.
    pub version: u32,
    /// Why.
    pub failure: Failure,
    /// Attempts made.
    pub attempts: u32,
    /// When.
    pub at: DateTime<Utc>,
}

/// Why something did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Stable code.
    pub code: String,
    /// In words.
    pub message: String,
}

/// How work is claimed.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Name of the claim, never used before.
    pub id: Uuid,
    /// Now.
    pub now: DateTime<Utc>,
    /// When the lease ends.
    pub until: DateTime<Utc>,
    /// Most documents.
    pub documents: u32,
    /// Most bytes of originals together, unless a single document has more.
    pub bytes: u64,
}

/// Work that is held under a claim.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Document.
    pub id: DocumentId,
    /// Tenant.
    pub tenant: TenantId,
    /// Version.
    pub version: u32,
    /// What is to be done.
    pub action: WorkAction,
    /// Whether the document's points must go first.
    pub rebuild: bool,
    /// Failures so far.
    pub attempts: u32,
    /// Leases that ran out so far.
    pub losses: u32,
    /// Waits for a dependency since the last success.
    pub waits: u32,
    /// Code of the last wait.
    pub wait_code: Option<String>,
    /// State.
    pub status: DocumentStatus,
    /// File name.
    pub filename: String,
    /// Title.
    pub title: String,
    /// Format, as the parser names it.
    pub format: String,
    /// Language, if given.
    pub language: Option<String>,
    /// Origin.
    pub source: Source,
    /// Free facts.
    pub metadata: BTreeMap<String, String>,
    /// When the document was accepted.
    pub created_at: DateTime<Utc>,
}

impl Claimed {
    /// Which attempt this is, from 1.
    pub const fn attempt(&self) -> u32 {
        1 + self.attempts + self.losses
    }
}

/// A change that a worker made, and when.
#[derive(Clone, Debug)]
pub struct Passed {
    /// The change.
    pub change: crate::domain::ingestion::Change,
    /// When.
    pub at: DateTime<Utc>,
    /// More, for people.
    pub detail: Option<String>,
}

/// Text and chunks of a version.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// Document.
    pub id: DocumentId,
    /// Version.
    pub version: u32,
    /// Title.
    pub title: String,
    /// Language, `und` when unknown.
    pub language: String,
    /// Text.
    pub body: String,
    /// Chunks, by ordinal.
    pub chunks: Vec<NewChunk>,
    /// The changes on the way here.
    pub passed: Vec<Passed>,
}

/// How a claim on a document ends.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Every point was counted back.
    Indexed {
        /// Document.
        id: DocumentId,
        /// The changes on the way here.
        passed: Vec<Passed>,
        /// Dense model of the points.
        model: Option<String>,
        /// Id of the event that tells the new state.
        event: EventId,
    },
    /// A dependency is away: wait, which counts as no attempt.
    Waiting {
        /// Document.
        id: DocumentId,
        /// The changes that were made before.
        passed: Vec<Passed>,
        /// Why.
        failure: Failure,
        /// How long.
        delay: Duration,
    },
    /// A counted attempt failed: try again later.
    Again {
        /// Document.
        id: DocumentId,
        /// Why.
        failure: Failure,
        /// How long to wait.
        delay: Duration,
    },
    /// Given up.
    Failed {
        /// Document.
        id: DocumentId,
        /// Why.
        failure: Failure,
        /// Whether points may be in the index, so that they must be removed.
        points: bool,
        /// Id of the event that tells the new state.
        event: EventId,
    },
    /// Not finished, for no fault of anybody's: the service stops.
    Released {
        /// Document.
        id: DocumentId,
    },
    /// The points are gone, confirmed. A deleted document is purged.
    Removed {
        /// Document.
        id: DocumentId,
    },
}

impl Outcome {
    /// The document.
    pub const fn id(&self) -> DocumentId {
        match self {
            Self::Indexed { id, .. }
            | Self::Waiting { id, .. }
            | Self::Again { id, .. }
            | Self::Failed { id, .. }
            | Self::Released { id }
            | Self::Removed { id } => *id,
        }
    }
}

/// The queue at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Documents that wait or are at work.
    pub queued: u64,
    /// When the oldest of them was queued.
    pub oldest: Option<DateTime<Utc>>,
    /// Documents that were given up.
    pub dead_letters: u64,
}
