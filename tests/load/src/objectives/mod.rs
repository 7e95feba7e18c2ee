//! Objectives: what a run has to reach, as text that people write, and whether it did.

mod grammar;
mod judge;
#[cfg(test)]
mod tests;

pub use grammar::{Limit, Objective, ObjectiveError, Relation, Subject};
pub use judge::{Judged, Measured, milliseconds};
