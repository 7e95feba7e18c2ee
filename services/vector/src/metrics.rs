use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use touchstone_telemetry::LATENCY_SECONDS;

/// Every metric of the service; names start with `touchstone_vector_`.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// `points`: living points of all tenants.
    pub points: Gauge,
    /// `index_bytes`: memory of the index.
    pub index_bytes: Gauge,
    /// `index_segments`: segments of the index.
    pub index_segments: Gauge,
    /// `upserted_points_total`.
    pub upserted: Counter,
    /// `deleted_points_total`.
    pub deleted: Counter,
    /// `query_duration_seconds`: queries, from the check to the payloads.
    pub query_seconds: Histogram,
    /// `write_duration_seconds`: upserts and deletions, with the wait for the one writer.
    pub write_seconds: Histogram,
}

impl Metrics {
    /// Registers them.
    pub fn new(metrics: &touchstone_telemetry::Metrics) -> Self {
        let scope = metrics.scope("vector");
        Self {
            points: scope.gauge("points", "Living points of all tenants"),
            index_bytes: scope.gauge("index_bytes", "Memory of the index"),
            index_segments: scope.gauge("index_segments", "Segments of the index"),
            upserted: scope.counter("upserted_points", "Points written"),
            deleted: scope.counter("deleted_points", "Points deleted"),
            query_seconds: scope.histogram(
                "query_duration_seconds",
                "Queries, from the check to the payloads",
                &LATENCY_SECONDS,
            ),
            write_seconds: scope.histogram(
                "write_duration_seconds",
                "Upserts and deletions, with the wait for the one writer",
                &LATENCY_SECONDS,
            ),
        }
    }
}
