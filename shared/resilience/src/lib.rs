#![doc = include_str!("../README.md")]

pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod bulkhead;
mod class;
pub mod decision;
pub mod ewma;
pub mod gcra;
pub mod hedge;
pub mod latency;
pub mod layers;
pub mod lease;
pub mod limit;
pub mod outcome;
pub mod random;
mod rejected;
pub mod stream;
mod tally;
pub mod time;
pub mod upstream;
pub mod window;

pub use class::Class;
pub use decision::{Action, Decision, Observer, Silent};
pub use outcome::Outcome;
pub use rejected::Rejected;
pub use time::{Instant, Monotonic};
pub use upstream::Upstream;
