//! Every metric of the gateway.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use touchstone_cache::quota::Mode;
use touchstone_telemetry::Metrics as Registry;

/// Labels of a forwarded request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Forwarded {
    /// Which service.
    pub service: &'static str,
    /// `1xx` to `5xx`, or `none` when no answer came.
    pub outcome: &'static str,
}

/// How a read came by its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CacheResult {
    /// From what was kept.
    Hit,
    /// By a call of its own.
    Miss,
    /// By the call of another one.
    Collapsed,
    /// From what was kept too long, because the service failed.
    Stale,
    /// By a call, as the client insisted.
    Bypass,
}

/// Labels of a read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Cached {
    result: &'static str,
}

/// What was given instead of what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rung {
    /// Passages without an answer.
    Passages,
    /// The last answer to the same question.
    StaleAnswer,
    /// The last answer to the same read.
    StaleRead,
}

impl Rung {
    /// The name in metrics and in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passages => "passages",
            Self::StaleAnswer => "stale_answer",
            Self::StaleRead => "stale_read",
        }
    }
}

/// Labels of a degraded answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Degraded {
    rung: &'static str,
}

/// Labels of the end of a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Ended {
    reason: &'static str,
}

/// Label of the mode of quotas.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuotaMode {
    mode: &'static str,
}

/// Label of denials.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Denied {
    class: &'static str,
}

/// The handles.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Seconds to the head of a service's response.
    pub upstream: Family<Forwarded, Histogram, fn() -> Histogram>,
    /// Streams of events that are open.
    pub streams: Gauge,
    /// WebSockets that are open.
    pub web_sockets: Gauge,
    degraded: Family<Degraded, Counter>,
    cached: Family<Cached, Counter>,
    ended: Family<Ended, Counter>,
    quota_mode: Family<QuotaMode, Gauge>,
    denied: Family<Denied, Counter>,
}

impl Metrics {
    pub fn new(registry: &Registry) -> Self {
        let scope = registry.scope("gateway");
        Self {
            upstream: scope.latency_by(
                "upstream_duration_seconds",
                "Time to the head of a service's response",
            ),
            streams: scope.gauge("open_streams", "Streams of events that are open"),
            web_sockets: scope.gauge("open_websockets", "WebSockets that are open"),
            degraded: scope.counter_by(
                "degraded_answers",
                "Answers poorer than what was asked for, by what was given",
            ),
            cached: scope.counter_by("cached_reads", "Reads, by how they came by their answer"),
            ended: scope.counter_by("websockets_ended", "WebSockets that ended, by reason"),
            quota_mode: scope.register(
                "quota_mode",
                "Who counts quotas: 1 for the mode in force",
                Family::default(),
            ),
            denied: scope.counter_by("quota_denials", "Requests that a quota denied, by class"),
        }
    }

    pub fn degraded(&self, rung: Rung) {
        let rung = rung.as_str();
        self.degraded.get_or_create(&Degraded { rung }).inc();
    }

    pub fn cached(&self, result: CacheResult) {
        let result = match result {
            CacheResult::Hit => "hit",
            CacheResult::Miss => "miss",
            CacheResult::Collapsed => "collapsed",
            CacheResult::Stale => "stale",
            CacheResult::Bypass => "bypass",
        };
        self.cached.get_or_create(&Cached { result }).inc();
    }

    pub fn web_socket_ended(&self, reason: &'static str) {
        self.ended.get_or_create(&Ended { reason }).inc();
    }

    /// The gauge of a mode of quotas.
    pub fn quota_mode(&self, mode: Mode) -> Gauge {
        let mode = mode.as_str();
        self.quota_mode.get_or_create(&QuotaMode { mode }).clone()
    }

    /// Counts a denial.
    pub fn denied(&self, class: &'static str) {
        self.denied.get_or_create(&Denied { class }).inc();
    }
}
