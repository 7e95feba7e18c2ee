//! The plane around a router: what it strikes, what it counts, and who may ask.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod deep;
mod memory;
mod plane;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use touchstone_config::Secret;
use touchstone_faults::Plane;
use touchstone_telemetry::Metrics;
use touchstone_types::{IdSource, SystemClock};

const SECRET: &str = "5f0c3f9e2b7d4a61908e7c6d5b4a39281706f5e4";

/// A service `sample` that answers at `/x`, with its faults.
fn sample(metrics: &Metrics) -> Router {
    let (key, clock) = (Secret::from(SECRET), Arc::new(SystemClock));
    let plane = Plane::new(&key, 1, IdSource::system(), clock, metrics).unwrap();
    let router = Router::new().route("/x", get(|| async { "here" }));
    plane.around("sample", router, None)
}
