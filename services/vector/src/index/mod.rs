//! The exact index in memory: immutable segments of one tenant's points in one collection.
//!
//! A [`Snapshot`] is a list of segments with their tombstones. Writers prepare the next snapshot
//! beside the present one and swap it in; readers never wait. A score is a sum over the query's
//! terms in ascending order, so that it does not depend on how points are spread over segments,
//! and is the same to the last bit after a restart.

mod bits;
mod builder;
mod columns;
mod filter;
mod merge;
mod postings;
mod search;
mod segment;
mod snapshot;
#[cfg(test)]
mod tests;
mod top;

pub use builder::SegmentBuilder;
pub use columns::Facts;
pub use filter::CompiledFilter;
pub use search::{Hit, Plan, Signal, search};
pub use segment::Segment;
pub use snapshot::{Location, Snapshot};

/// Most points of a segment, so that a slot fits into 16 bits.
pub const MAX_SLOTS: usize = u16::MAX as usize;
