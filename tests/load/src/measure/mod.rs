//! What is measured of a request, how a shard keeps it, and how shards are added up.

mod cell;
mod histogram;
mod outcome;
mod recorder;
mod series;

pub use cell::{Cell, CellPart, Measure, Sample, share};
pub use histogram::{Durations, Sparse};
pub use outcome::{ErrorClass, Errors, Outcome};
pub use recorder::{Active, Example, Part, Recorder, Slow};
pub use series::{Second, Series};
