use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::process;

/// Content type of `GET /metrics`.
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Buckets for latencies, in seconds.
pub const LATENCY_SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// A histogram per label set; the constructor is a plain function, so that the type can be named.
pub type HistogramFamily<L> = Family<L, Histogram, fn() -> Histogram>;

type Shared = Arc<Mutex<Registry>>;

/// The metrics of one stack: a registry per service, and one of the calls among services.
#[derive(Clone, Debug)]
pub struct Metrics {
    scopes: Arc<Mutex<BTreeMap<&'static str, Scope>>>,
    mesh: Shared,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            scopes: Arc::default(),
            mesh: registry("mesh"),
        }
    }
}

fn registry(owner: &str) -> Shared {
    Arc::new(Mutex::new(Registry::with_prefix(format!(
        "touchstone_{owner}"
    ))))
}

impl Metrics {
    /// No metrics yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The metrics of a service; the same ones for the same name.
    pub fn scope(&self, service: &'static str) -> Scope {
        self.scopes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(service)
            .or_insert_with(|| Scope {
                registry: registry(service),
                mesh: Some(Arc::clone(&self.mesh)),
            })
            .clone()
    }

    /// The metrics of the calls that leave this process, whichever of its services makes them. Every
    /// service shows them under the same names, as it does those of the process.
    pub fn mesh(&self) -> Scope {
        Scope {
            registry: Arc::clone(&self.mesh),
            mesh: None,
        }
    }
}

/// The metrics of one service; names get the prefix `touchstone_<service>_`.
///
/// Declare each metric once, at build time: registering twice exposes it twice.
#[derive(Clone, Debug)]
pub struct Scope {
    registry: Shared,
    /// What it shows besides.
    mesh: Option<Shared>,
}

impl Scope {
    /// Registers any metric.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register(name, help, metric.clone());
        metric
    }

    /// A counter; `_total` is appended to its name.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.register(name, help, Counter::default())
    }

    /// A counter per label set.
    pub fn counter_by<L>(&self, name: &str, help: &str) -> Family<L, Counter>
    where
        L: EncodeLabelSet + Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static,
    {
        self.register(name, help, Family::default())
    }

    /// A gauge.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(name, help, Gauge::default())
    }

    /// A histogram; `name` ends in its unit, e.g. `search_duration_seconds`.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(name, help, Histogram::new(buckets.iter().copied()))
    }

    /// A latency histogram ([`LATENCY_SECONDS`]) per label set.
    pub fn latency_by<L>(&self, name: &str, help: &str) -> HistogramFamily<L>
    where
        L: EncodeLabelSet + Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static,
    {
        let family: HistogramFamily<L> =
            Family::new_with_constructor(|| Histogram::new(LATENCY_SECONDS));
        self.register(name, help, family)
    }

    /// Registers what is looked at when metrics are asked for.
    pub fn collect(&self, collector: Box<dyn Collector>) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(collector);
    }

    /// The service's metrics, those of the mesh and those of the process, as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        for registry in std::iter::once(&self.registry).chain(&self.mesh) {
            let registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
            let begin = text.len();
            if encode(&mut text, &registry).is_err() {
                text.truncate(begin);
            }
            let end = text.strip_suffix("# EOF\n").map_or(text.len(), str::len);
            text.truncate(end);
        }
        process::encode(&mut text);
        text.push_str("# EOF\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_service_and_unit() {
        let metrics = Metrics::new();
        metrics
            .scope("sample")
            .counter("searches", "Searches answered")
            .inc();
        let text = metrics.scope("sample").encode();
        assert!(
            text.contains("touchstone_sample_searches_total 1"),
            "{text}"
        );
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
        assert_eq!(text.matches("# EOF").count(), 1);
    }

    #[test]
    fn every_service_shows_the_mesh_under_the_same_names() {
        let metrics = Metrics::new();
        metrics
            .scope("sample")
            .counter("searches", "Searches answered")
            .inc();
        metrics.mesh().counter("calls", "Calls made").inc();
        for service in ["sample", "other"] {
            let text = metrics.scope(service).encode();
            assert!(text.contains("\ntouchstone_mesh_calls_total 1\n"), "{text}");
            assert_eq!(text.matches("# EOF").count(), 1);
            assert!(text.ends_with("# EOF\n"));
        }
    }

    #[test]
    fn stacks_do_not_share_metrics() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.scope("sample")
            .counter("searches", "Searches answered")
            .inc();
        assert!(!other.scope("sample").encode().contains("searches"));
    }
}
