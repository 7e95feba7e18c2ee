//! Every metric of the service.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use touchstone_telemetry::{LATENCY_SECONDS, Scope};

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// Well.
    Ok,
    /// With an error.
    Error,
}

/// Label of outcomes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByOutcome {
    /// How it ended.
    pub outcome: Outcome,
}

/// The handles; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// `loads_total{outcome}`: models loaded or tried.
    pub loads: Family<ByOutcome, Counter>,
    /// `memory_bytes`: weights of all loaded models.
    pub memory_bytes: Gauge,
    /// `texts_total{outcome}`: texts embedded and pairs scored.
    pub texts: Family<ByOutcome, Counter>,
    /// `tokens_total`: tokens of embedded texts.
    pub tokens: Counter,
    /// `waiting`: requests that wait for a worker.
    pub waiting: Gauge,
    /// `refused_total`: requests refused because the queue was full.
    pub refused: Counter,
    /// `compute_duration_seconds`: time of one request on a worker or a server.
    pub compute_seconds: Histogram,
}

impl Metrics {
    /// Declares them.
    pub fn new(scope: &Scope) -> Self {
        Self {
            loads: scope.counter_by("loads", "Models loaded or tried"),
            memory_bytes: scope.gauge("memory_bytes", "Weights of all loaded models"),
            texts: scope.counter_by("texts", "Texts embedded and pairs scored"),
            tokens: scope.counter("tokens", "Tokens of embedded texts"),
            waiting: scope.gauge("waiting", "Requests that wait for a worker"),
            refused: scope.counter("refused", "Requests refused because the queue was full"),
            compute_seconds: scope.histogram(
                "compute_duration_seconds",
                "Time of one request on a worker or a server",
                &LATENCY_SECONDS,
            ),
        }
    }
}
