use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use touchstone_telemetry::LATENCY_SECONDS;

/// Every metric of the service; names start with `touchstone_analytics_`.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// `received_records_total`: records that came over the bus.
    pub received: Counter,
    /// `stored_records_total`: records that the store took.
    pub stored: Counter,
    /// `dropped_records_total`: records that were dropped for want of room, or at the stop.
    pub dropped: Counter,
    /// `waiting_records`: records that wait for the store.
    pub waiting: Gauge,
    /// `failed_writes_total`: attempts to write that failed.
    pub failed: Counter,
    /// `write_duration_seconds`: batches that were written.
    pub write_seconds: Histogram,
}

impl Metrics {
    /// Registers them.
    pub fn new(metrics: &touchstone_telemetry::Metrics) -> Self {
        let scope = metrics.scope("analytics");
        Self {
            received: scope.counter("received_records", "Records that came over the bus"),
            stored: scope.counter("stored_records", "Records that the store took"),
            dropped: scope.counter(
                "dropped_records",
                "Records that were dropped for want of room, or at the stop",
            ),
            waiting: scope.gauge("waiting_records", "Records that wait for the store"),
            failed: scope.counter("failed_writes", "Attempts to write that failed"),
            write_seconds: scope.histogram(
                "write_duration_seconds",
                "Batches that were written",
                &LATENCY_SECONDS,
            ),
        }
    }
}
