use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use touchstone_resilience::Decision;
use touchstone_telemetry::Metrics;

use crate::mesh::Weak;

/// Labels of decisions. Instances come and go: they are in the logs, not here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decided {
    policy: &'static str,
    action: &'static str,
    upstream: String,
}

/// What the policies around calls decided, counted; the same in every service.
#[derive(Clone, Debug, Default)]
pub struct Decisions(Family<Decided, Counter>);

impl Decisions {
    /// Counts one.
    pub fn count(&self, decision: &Decision) {
        let target = &*decision.target;
        let upstream = target
            .split_once('@')
            .map_or(target, |(upstream, _)| upstream);
        let decided = Decided {
            policy: decision.policy,
            action: decision.action.as_str(),
            upstream: upstream.to_owned(),
        };
        self.0.get_or_create(&decided).inc();
    }

    /// Shows them, and the instances of each service.
    pub(crate) fn show(&self, metrics: &Metrics, mesh: Weak) {
        let scope = metrics.mesh();
        scope.register(
            "decisions",
            "Decisions of the policies around calls to services, by policy, action and service",
            self.0.clone(),
        );
        scope.collect(Box::new(Instances(mesh)));
    }
}

/// Labels of instances.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Counted {
    upstream: String,
    state: &'static str,
}

/// The instances of each service, when metrics are asked for.
struct Instances(Weak);

impl Collector for Instances {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Instances of services that are asked, and that were ejected by their breakers";
        let mut family = encoder.encode_descriptor("instances", help, None, MetricType::Gauge)?;
        for (upstream, [asked, ejected]) in self.0.instances() {
            for (state, count) in [("asked", asked), ("ejected", ejected)] {
                let upstream = upstream.clone();
                let labels = Counted { upstream, state };
                ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instances").finish_non_exhaustive()
    }
}
