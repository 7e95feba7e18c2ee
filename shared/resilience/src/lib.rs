#![doc = include_str!("../README.md")]

pub mod backoff;
pub mod breaker;
pub mod budget;
mod class;
pub mod decision;
pub mod gcra;
pub mod lease;
pub mod outcome;
pub mod random;
mod rejected;
mod tally;
pub mod time;
pub mod window;

pub use class::Class;
pub use decision::{Action, Decision, Observer, Silent};
pub use outcome::Outcome;
pub use rejected::Rejected;
pub use time::{Instant, Monotonic};
