//! The whole stack: journeys over both transports, the command line, kill -9 during an ingest.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]
#![expect(clippy::panic, reason = "helpers of tests may fail the test")]

mod away;
mod binary;
mod broker;
mod cli;
mod crash;
mod faults;
mod full_disk;
mod journeys;
mod ledger;
mod load;
mod rolling;
mod support;
