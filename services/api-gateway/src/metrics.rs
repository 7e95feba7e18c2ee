//! Every metric of the gateway.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use touchstone_telemetry::Metrics as Registry;

/// Labels of a forwarded request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Forwarded {
    /// Which service.
    pub service: &'static str,
    /// `1xx` to `5xx`, or `none` when no answer came.
    pub outcome: &'static str,
}

/// The handles.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Seconds to the head of a service's response.
    pub upstream: Family<Forwarded, Histogram, fn() -> Histogram>,
    /// Streams of events that are open.
    pub streams: Gauge,
    /// Answers without generation.
    pub degraded: Counter,
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
            degraded: scope.counter("degraded_answers", "Answers with passages only"),
        }
    }
}
