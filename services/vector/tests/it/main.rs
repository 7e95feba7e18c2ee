//! Tests of the service from outside: the store's contract, its model, and the HTTP surface.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod contract;
mod fixtures;
mod http_isolation;
mod http_statuses;
mod model;
mod oracle;
mod qdrant_away;
mod qdrant_faults;
mod qdrant_model;
mod writes;
