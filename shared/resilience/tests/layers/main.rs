//! The layers around a transport that fails, waits and dies on command, on paused time.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod balancing;
mod capacity;
mod chain;
mod connections;
mod deadlines;
mod hedging;
mod retries;
mod world;
