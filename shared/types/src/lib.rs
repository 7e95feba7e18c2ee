//! Ids, tenants, roles, sparse vectors and clocks: the words that every crate of the stack shares.
//!
//! This is layer 0: no I/O, no wire format beyond `serde`, no policy.

mod clock;
mod id;
mod sparse;
mod status;

pub use clock::{Clock, FrozenClock, SystemClock};
pub use id::{
    ApiKeyId, ChunkId, ConversationId, DocumentId, EventId, FamilyId, IdSource, MessageId,
    ParseIdError, TenantId, UserId,
};
pub use sparse::{SparseVector, SparseVectorError};
pub use status::{DocumentStatus, Role, Source};

/// A half-open range of byte offsets into a stored text.
///
/// # Units
/// Bytes of UTF-8; both ends lie on character boundaries of the text they refer to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
pub struct ByteSpan {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl ByteSpan {
    /// Makes a span; `start <= end` is the caller's promise.
    pub const fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end);
        Self { start, end }
    }

    /// Length in bytes.
    pub const fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether the span covers nothing.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Cuts the span out of `text`; `None` when it does not lie on character boundaries inside it.
    pub fn of(self, text: &str) -> Option<&str> {
        text.get(self.start..self.end)
    }
}
