//! Journeys through the real router, with neighbours that can be told to misbehave.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod http;
mod ingest;
mod store;
mod support;
mod trouble;
