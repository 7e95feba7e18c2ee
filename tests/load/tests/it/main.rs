//! The engine over real sockets, against servers whose behaviour is known.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod client;
mod command;
mod compared;
mod known;
mod model;
mod services;
mod socket;
mod verdict;
mod workers;
