use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use touchstone_telemetry::Scope;

/// A step of the ingestion.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Step {
    step: &'static str,
}

/// A code of a failure.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Code {
    code: String,
}

/// Every metric of document.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Documents and versions accepted.
    pub accepted: Counter,
    /// Bytes of originals accepted.
    pub accepted_bytes: Counter,
    /// Documents that became `indexed`.
    pub indexed: Counter,
    /// Chunks that became searchable.
    pub chunks: Counter,
    /// Documents whose points were removed.
    pub removed: Counter,
    /// Waits for a dependency.
    pub waits: Counter,
    /// Work that was taken from the table because its lease ran out or its process died.
    pub recovered: Counter,
    /// Documents that wait or are at work.
    pub queue_depth: Gauge,
    /// Age of the oldest of them.
    pub queue_age: Gauge,
    /// Documents that were given up.
    pub dead_letters: Gauge,
    /// Whether the cluster of the bus answers: 1, 0; stays 1 for a bus of this process.
    pub bus_connected: Gauge,
    /// Events of the work that were published and not dealt with by this process.
    pub consumer_lag: Gauge,
    /// Events that the relay could not send.
    pub relay_backlog: Gauge,
    failures: Family<Code, Counter>,
    steps: Family<Step, Histogram, fn() -> Histogram>,
}

impl Metrics {
    /// Declares them.
    pub fn new(scope: &Scope) -> Self {
        Self {
            accepted: scope.counter("accepted", "Documents and versions accepted"),
            accepted_bytes: scope.counter("accepted_bytes", "Bytes of originals accepted"),
            indexed: scope.counter("indexed", "Documents that became searchable"),
            chunks: scope.counter("chunks", "Chunks that became searchable"),
            removed: scope.counter("removed", "Documents whose points were removed"),
            waits: scope.counter("waits", "Waits for a dependency"),
            recovered: scope.counter("recovered", "Work whose lease was taken over"),
            queue_depth: scope.gauge("queue_depth", "Documents that wait or are at work"),
            queue_age: scope.gauge("queue_age_seconds", "Age of the oldest queued document"),
            dead_letters: scope.gauge("dead_letters", "Documents that were given up"),
            bus_connected: scope.gauge("bus_connected", "Whether the bus answers"),
            consumer_lag: scope.gauge("consumer_lag", "Events published and not dealt with"),
            relay_backlog: scope.gauge("relay_backlog", "Events that could not be sent"),
            failures: scope.counter_by("failures", "Failed attempts by code"),
            steps: scope.latency_by("step_duration_seconds", "Time per step of a group"),
        }
    }

    /// Counts a failed attempt; codes of others are counted together.
    pub fn failed(&self, code: &str) {
        let code = if code.starts_with("document.") {
            code
        } else {
            "other"
        };
        self.failures
            .get_or_create(&Code {
                code: code.to_owned(),
            })
            .inc();
    }

    /// Notes how long a step took.
    pub fn step(&self, step: &'static str, took: Duration) {
        self.steps
            .get_or_create(&Step { step })
            .observe(took.as_secs_f64());
    }
}
