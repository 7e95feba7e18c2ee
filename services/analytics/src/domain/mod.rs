//! Pure rules: records with ids, spans of time, made-up numbers. No I/O.

mod mock;
mod row;
mod span;

pub use mock::made_up;
pub use row::{Batch, Row};
pub use span::{Span, View};
