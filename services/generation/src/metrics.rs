use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use touchstone_simulated_model::Occupancy;
use touchstone_telemetry::Scope;

/// Which provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ProviderLabel {
    /// Its name.
    pub provider: String,
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AnswerLabels {
    /// Who wrote it.
    pub provider: String,
    /// `complete`, `abstained`, `degraded`, `failed` or `abandoned`.
    pub outcome: &'static str,
}

/// What the gate found.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VerdictLabel {
    /// The verdict.
    pub verdict: String,
}

/// A failure of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FailureLabels {
    /// Which provider.
    pub provider: String,
    /// The error's code.
    pub code: String,
}

/// The service's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Answers of `/ask` and of the model `touchstone`.
    pub answers: Family<AnswerLabels, Counter>,
    /// Claims that the gate checked.
    pub claims: Family<VerdictLabel, Counter>,
    /// Failures of providers.
    pub failures: Family<FailureLabels, Counter>,
    /// Seconds from the call of a provider to its first token.
    pub first_token: Family<ProviderLabel, Histogram, fn() -> Histogram>,
    /// Tokens that providers wrote.
    pub tokens: Family<ProviderLabel, Counter>,
    /// Streams of providers that are open.
    pub streams: Gauge,
    /// Slots of the simulated model that are taken.
    pub slots_busy: Gauge,
    /// Answers that wait for a slot of the simulated model.
    pub slots_waiting: Gauge,
}

impl Metrics {
    /// Declares the metrics.
    pub fn new(scope: &Scope) -> Self {
        Self {
            answers: scope.counter_by("answers", "Answers by provider and outcome"),
            claims: scope.counter_by("claims", "Claims checked by the citation gate"),
            failures: scope.counter_by("provider_failures", "Failures of providers"),
            first_token: scope.latency_by("first_token_seconds", "Time to the first token"),
            tokens: scope.counter_by("tokens", "Tokens written by providers"),
            streams: scope.gauge("streams", "Open streams of providers"),
            slots_busy: scope.gauge(
                "simulated_slots_busy",
                "Slots of the simulated model in use",
            ),
            slots_waiting: scope.gauge(
                "simulated_slots_waiting",
                "Answers waiting for a simulated slot",
            ),
        }
    }
}

impl Occupancy for Metrics {
    fn slots(&self, change: i64) {
        self.slots_busy.inc_by(change);
    }

    fn queue(&self, change: i64) {
        self.slots_waiting.inc_by(change);
    }
}
