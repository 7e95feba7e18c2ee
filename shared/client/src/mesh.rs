use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use axum::Router;
use http::Uri;
use serde::Serialize;
use touchstone_faults::{Calls, Plane};
use touchstone_identity::ServiceKey;
use touchstone_resilience::breaker::State;
use touchstone_resilience::layers::{self, Balanced, Stack};
use touchstone_resilience::upstream::{InstanceSnapshot, Snapshot};
use touchstone_resilience::{Decision, Monotonic, Observer, Upstream};
use touchstone_telemetry::Metrics;
use touchstone_types::Clock;

use crate::Address;
use crate::decisions::Decisions;
use crate::pool::Endpoint;
use crate::protection::Protection;
use crate::transport::{Transport, TransportError};

/// How often names are looked up.
const LOOK_UP_EVERY: Duration = Duration::from_secs(5);

/// Knows where each service is, and protects calls to it. Names are resolved when a call is made,
/// so that services can be built in any order.
#[derive(Clone)]
pub struct Mesh {
    inner: Arc<Inner>,
}

struct Inner {
    targets: RwLock<BTreeMap<String, Target>>,
    service_key: ServiceKey,
    clock: Arc<dyn Clock>,
    monotonic: Monotonic,
    protection: Protection,
    observer: Arc<Relay>,
    /// Faults of calls, if any can be asked for.
    faults: OnceLock<Plane>,
}

/// One service: its instances and whoever balances calls among them.
struct Target {
    instances: Vec<(String, Transport)>,
    /// A router or a single URL needs no names of instances.
    is_single: bool,
    name: Option<(String, u16)>,
    calls: Stack<Transport>,
    /// The mesh's own balance, and those that were asked for with [`Mesh::balanced`].
    balances: Vec<Balanced<Transport>>,
}

/// The mesh, for who lives in it and must not keep it alive.
pub(crate) struct Weak(std::sync::Weak<Inner>);

impl Weak {
    /// Of each service, the instances that are asked, and those that are not because they fail.
    pub(crate) fn instances(&self) -> Vec<(String, [i64; 2])> {
        let Some(inner) = self.0.upgrade() else {
            return Vec::new();
        };
        let mesh = Mesh { inner };
        let targets = mesh.targets();
        let counted = targets.iter().map(|(service, target)| {
            // Whoever balances calls for itself has breakers of its own.
            let mut ejected = BTreeSet::new();
            let mut known = 0;
            for balance in &target.balances {
                let instances = balance.snapshot();
                known = instances.len();
                let fails = instances
                    .into_iter()
                    .filter(|instance| instance.breaker.state != State::Closed);
                ejected.extend(fails.map(|instance| instance.name));
            }
            let ejected = ejected.len().min(known);
            let counts = [known - ejected, ejected].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
            (service.clone(), counts)
        });
        counted.collect()
    }
}

/// Counts decisions and passes them on to whoever observes the mesh.
#[derive(Debug, Default)]
struct Relay {
    decisions: Decisions,
    observer: OnceLock<Arc<dyn Observer>>,
}

impl Observer for Relay {
    fn decided(&self, decision: Decision) {
        tracing::debug!(
            policy = decision.policy,
            upstream = &*decision.target,
            action = ?decision.action,
            "{} of `{}`: {}",
            decision.policy,
            decision.target,
            decision.state
        );
        self.decisions.count(&decision);
        if let Some(observer) = self.observer.get() {
            observer.decided(decision);
        }
    }
}

/// A service as the mesh's own clients see it now.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceState {
    /// Its policies.
    #[serde(flatten)]
    pub upstream: Snapshot,
    /// Its instances.
    pub instances: Vec<InstanceSnapshot>,
}

impl Mesh {
    /// A mesh without services; `service_key` vouches for its members.
    pub fn new(service_key: ServiceKey, clock: Arc<dyn Clock>) -> Self {
        Self::protected(service_key, clock, Protection::default())
    }

    /// A mesh whose calls are protected as told.
    pub fn protected(
        service_key: ServiceKey,
        clock: Arc<dyn Clock>,
        protection: Protection,
    ) -> Self {
        let inner = Inner {
            targets: RwLock::default(),
            service_key,
            clock,
            monotonic: Monotonic::start(),
            protection,
            observer: Arc::default(),
            faults: OnceLock::new(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// `service` is this router.
    pub fn mount(&self, service: impl Into<String>, router: Router) {
        let instances = vec![(String::new(), Transport::InProcess(router))];
        self.put(service.into(), instances, true, None);
    }

    /// `service` is at this URL (scheme and authority).
    pub fn connect(&self, service: impl Into<String>, base: Uri) {
        self.connect_to(service, Address::Instances(vec![base]));
    }

    /// `service` is at this address. Names are looked up by [`Mesh::follow_names`].
    pub fn connect_to(&self, service: impl Into<String>, address: Address) {
        match address {
            Address::Instances(urls) => {
                let is_single = urls.len() == 1;
                let instances = urls.into_iter().map(instance).collect();
                self.put(service.into(), instances, is_single, None);
            }
            Address::Dns { host, port } => {
                self.put(service.into(), Vec::new(), false, Some((host, port)));
            }
        }
    }

    /// Looks the names of services up, now and then every five seconds, for ever. What cannot be
    /// looked up stays as it was.
    pub async fn follow_names(self) {
        let mut ticks = tokio::time::interval(LOOK_UP_EVERY);
        loop {
            ticks.tick().await;
            for (service, (host, port)) in self.names() {
                match tokio::net::lookup_host((&*host, port)).await {
                    Ok(found) => self.found(&service, &found.collect()),
                    Err(error) => tracing::warn!(
                        service,
                        "the name `{host}` of `{service}` cannot be looked up: {error}"
                    ),
                }
            }
        }
    }

    /// Tells every decision of the mesh's policies to `observer`; only the first one is told.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        if self.inner.observer.observer.set(observer).is_err() {
            tracing::warn!("the mesh has an observer already");
        }
    }

    /// Counts of what was decided, for those who have policies of their own around their calls.
    pub fn decisions(&self) -> &Decisions {
        &self.inner.observer.decisions
    }

    /// Shows in `metrics` what the policies decide and how many instances each service has; once for
    /// a mesh.
    pub fn show(&self, metrics: &Metrics) {
        let mesh = Weak(Arc::downgrade(&self.inner));
        self.decisions().show(metrics, mesh);
    }

    /// Forgets every service; breaks the circle of routers that hold the mesh that holds them.
    pub fn clear(&self) {
        let forgotten = std::mem::take(
            &mut *self
                .inner
                .targets
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        );
        // Without the lock: what is dropped may itself hold the mesh.
        for target in forgotten.into_values() {
            for balance in target.balances {
                balance.update([]);
            }
        }
    }

    /// Calls have the faults of `plane` from now on; say so before services are known.
    pub fn suffer(&self, plane: Plane) {
        if self.inner.faults.set(plane).is_err() {
            tracing::warn!("the mesh has faults already");
        }
    }

    /// Whether calls can have faults.
    pub(crate) fn suffers(&self) -> bool {
        self.inner.faults.get().is_some()
    }

    /// The instances of `service` with the ways to them, without any protection and without faults.
    pub fn instances(&self, service: &str) -> Option<Vec<(String, Transport)>> {
        let targets = self.targets();
        targets.get(service).map(|target| target.instances.clone())
    }

    /// The same instances, with the faults that calls to them have.
    fn faulty(&self, service: &str, instances: &[(String, Transport)]) -> Vec<(String, Transport)> {
        let Some(plane) = self.inner.faults.get() else {
            return instances.to_vec();
        };
        let faults = Calls::new(plane.clone(), service);
        let faulty = |(name, way): &(String, Transport)| {
            let way = Transport::Faulty {
                way: Box::new(way.clone()),
                faults: faults.clone(),
            };
            (name.clone(), way)
        };
        instances.iter().map(faulty).collect()
    }

    /// Names of the services that are known.
    pub fn services(&self) -> Vec<String> {
        self.targets().keys().cloned().collect()
    }

    /// The way to `service` without any protection: the first of its instances.
    pub fn transport(&self, service: &str) -> Result<Transport, TransportError> {
        let targets = self.targets();
        let instances = targets.get(service).map(|target| &target.instances);
        let first = instances.and_then(|instances| instances.first());
        first
            .map(|(_, transport)| transport.clone())
            .ok_or_else(|| TransportError::Unmounted(service.to_owned()))
    }

    /// The protected way to `service`, shared by all clients of the mesh.
    pub fn calls(&self, service: &str) -> Result<Stack<Transport>, TransportError> {
        let targets = self.targets();
        let target = targets.get(service);
        target
            .map(|target| target.calls.clone())
            .ok_or_else(|| TransportError::Unmounted(service.to_owned()))
    }

    /// The instances of `service`, balanced with breakers and loads of `upstream`'s own; follows
    /// the mesh when instances come and go.
    pub fn balanced(
        &self,
        service: &str,
        upstream: Upstream,
    ) -> Result<Balanced<Transport>, TransportError> {
        let mut targets = self
            .inner
            .targets
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(target) = targets.get_mut(service) else {
            return Err(TransportError::Unmounted(service.to_owned()));
        };
        let instances = self.faulty(service, &target.instances);
        let balanced = balance(upstream, &instances, target.is_single);
        target.balances.push(balanced.clone());
        Ok(balanced)
    }

    /// Every service as the mesh's own clients see it now.
    pub fn snapshot(&self) -> Vec<ServiceState> {
        let targets = self.targets();
        let own = targets
            .values()
            .filter_map(|target| target.balances.first());
        own.map(|balanced| ServiceState {
            upstream: balanced.upstream().snapshot(),
            instances: balanced.snapshot(),
        })
        .collect()
    }

    /// How calls are protected.
    pub fn protection(&self) -> &Protection {
        &self.inner.protection
    }

    /// The key that vouches for this deployment's services.
    pub fn service_key(&self) -> &ServiceKey {
        &self.inner.service_key
    }

    /// The deployment's clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    fn targets(&self) -> RwLockReadGuard<'_, BTreeMap<String, Target>> {
        self.inner
            .targets
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn put(
        &self,
        service: String,
        instances: Vec<(String, Transport)>,
        is_single: bool,
        name: Option<(String, u16)>,
    ) {
        let upstream = Upstream::new(
            &*service,
            self.inner.protection.policies,
            self.inner.monotonic,
            self.inner.observer.clone(),
        );
        let balanced = balance(upstream, &self.faulty(&service, &instances), is_single);
        let target = Target {
            instances,
            is_single,
            name,
            calls: layers::stack(balanced.clone()),
            balances: vec![balanced],
        };
        let before = self
            .inner
            .targets
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(service, target);
        drop(before);
    }

    fn names(&self) -> Vec<(String, (String, u16))> {
        let targets = self.targets();
        let named = |(service, target): (&String, &Target)| {
            let name = target.name.clone()?;
            Some((service.clone(), name))
        };
        targets.iter().filter_map(named).collect()
    }

    /// Takes over what a lookup found; a lookup that found nothing changes nothing.
    fn found(&self, service: &str, addresses: &BTreeSet<SocketAddr>) {
        let url = |address: &SocketAddr| format!("http://{address}").parse::<Uri>().ok();
        let instances: Vec<_> = addresses.iter().filter_map(url).map(instance).collect();
        let mut targets = self
            .inner
            .targets
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(target) = targets.get_mut(service) else {
            return;
        };
        let known = target.instances.iter().map(|(name, _)| name);
        if instances.is_empty() || known.eq(instances.iter().map(|(name, _)| name)) {
            return;
        }
        tracing::info!(
            service,
            instances = instances.len(),
            "`{service}` has moved"
        );
        let faulty = self.faulty(service, &instances);
        for balance in &target.balances {
            balance.update(faulty.iter().cloned());
        }
        target.instances = instances;
    }
}

/// An instance with its name.
fn instance(base: Uri) -> (String, Transport) {
    let name = base
        .authority()
        .map_or_else(String::new, ToString::to_string);
    let endpoint = Arc::new(Endpoint::new(base));
    (name, Transport::Http { endpoint })
}

fn balance(
    upstream: Upstream,
    instances: &[(String, Transport)],
    is_single: bool,
) -> Balanced<Transport> {
    match instances {
        [(_, only)] if only.is_here() => Balanced::local(upstream, only.clone()),
        [(_, only)] if is_single => Balanced::single(upstream, only.clone()),
        several => Balanced::new(upstream, several.iter().cloned()),
    }
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mesh").field(&self.services()).finish()
    }
}
