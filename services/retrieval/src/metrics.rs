use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// Signals that a search used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Signals {
    /// BM25 and character n-grams.
    Lexical,
    /// Dense only.
    Dense,
    /// Both.
    Hybrid,
}

/// Labels of a search.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SearchLabels {
    /// Signals used.
    pub signals: Signals,
}

/// Labels of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StageLabels {
    /// Name of the stage, as in `explain`.
    pub stage: &'static str,
}

/// Labels of a missing part.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DegradedLabels {
    /// What was missing.
    pub part: &'static str,
}

/// Every metric of the service; names start with `touchstone_retrieval_`.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// `searches_total{signals}`.
    pub searches: Family<SearchLabels, Counter>,
    /// `empty_searches_total`: searches without a hit.
    pub empty: Counter,
    /// `degraded_searches_total{part}`.
    pub degraded: Family<DegradedLabels, Counter>,
    /// `stage_duration_seconds{stage}`.
    pub stage_seconds: Family<StageLabels, Histogram, fn() -> Histogram>,
    /// `confidence`: confidence of first hits.
    pub confidence: Histogram,
}

impl Metrics {
    /// Registers them.
    pub fn new(metrics: &touchstone_telemetry::Metrics) -> Self {
        let scope = metrics.scope("retrieval");
        let tenths: Vec<f64> = (1..10).map(|tenth| f64::from(tenth) / 10.0).collect();
        Self {
            searches: scope.counter_by("searches", "Searches answered, by the signals used"),
            empty: scope.counter("empty_searches", "Searches without a hit"),
            degraded: scope.counter_by("degraded_searches", "Searches that lacked a part"),
            stage_seconds: scope.latency_by("stage_duration_seconds", "Stages of the query plan"),
            confidence: scope.histogram("confidence", "Confidence of first hits", &tenths),
        }
    }
}
