//! Pure rules: states, chunks, ids, cursors. No I/O, no clock, no wire format.

pub mod backoff;
pub mod chunker;
pub mod cursor;
pub mod disposition;
pub mod ingestion;
pub mod limits;
pub mod passage;
pub mod point;

pub use self::passage::grow;
