//! Every metric of the service.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use touchstone_telemetry::{LATENCY_SECONDS, Scope};

/// Buckets for the size of batches.
const TEXTS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Where a dense vector came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Origin {
    /// Kept from before.
    Cache,
    /// Computed.
    Model,
}

/// Label of origins.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByOrigin {
    /// Where from.
    pub origin: Origin,
}

/// The handles; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// `texts_total`: texts that got sparse vectors.
    pub texts: Counter,
    /// `dense_vectors_total{origin}`: dense vectors handed out.
    pub dense: Family<ByOrigin, Counter>,
    /// `degraded_total`: requests answered without the dense vectors that are on.
    pub degraded: Counter,
    /// `batch_texts`: texts per call of a model.
    pub batch_texts: Histogram,
    /// `waiting`: texts that wait for a model.
    pub waiting: Gauge,
    /// `sparse_duration_seconds`: time to encode the texts of one request.
    pub sparse_seconds: Histogram,
}

impl Metrics {
    /// Declares them.
    pub fn new(scope: &Scope) -> Self {
        Self {
            texts: scope.counter("texts", "Texts that got sparse vectors"),
            dense: scope.counter_by("dense_vectors", "Dense vectors handed out"),
            degraded: scope.counter(
                "degraded",
                "Requests answered without the dense vectors that are on",
            ),
            batch_texts: scope.histogram("batch_texts", "Texts per call of a model", &TEXTS),
            waiting: scope.gauge("waiting", "Texts that wait for a model"),
            sparse_seconds: scope.histogram(
                "sparse_duration_seconds",
                "Time to encode the texts of one request",
                &LATENCY_SECONDS,
            ),
        }
    }

    /// Counts dense vectors.
    pub fn count_dense(&self, origin: Origin, count: usize) {
        self.dense
            .get_or_create(&ByOrigin { origin })
            .inc_by(count as u64);
    }
}
