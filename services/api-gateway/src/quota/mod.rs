//! Quotas: who may ask how often.

mod config;
mod headers;
mod items;
mod layers;
mod live;
mod meter;
mod plans;

pub use config::{AddressLimit, Algorithm, AwayPolicy, ClassLimit, Limits, Plan, QuotaConfig};
pub(crate) use headers::{RATELIMIT, RATELIMIT_POLICY};
pub(crate) use layers::{address, admit_address, by_address, by_subject, user};
pub(crate) use live::{Change, Live};

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use prometheus_client::metrics::gauge::Gauge;
use touchstone_cache::document::{self, Document};
use touchstone_cache::quota::{self, Mode, QuotaStore, SharedOptions};
use touchstone_identity::Caller;
use touchstone_lifecycle::Lifecycle;
use touchstone_resilience::{Action, Decision, Monotonic, Observer};
use touchstone_types::{Clock, IdSource, TenantId};
use uuid::Uuid;

use crate::BuildError;
use crate::address::{self as addressing, Place, Proxies};
use crate::admin::Ledger;
use crate::metrics::Metrics;
use crate::routes::table::Class;

/// How often the shared limits are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often addresses that were not seen for long are forgotten.
const FORGET: Duration = Duration::from_mins(1);
/// Longest wait for the store at the start.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// Tenants whose administrators run this installation; more can be named while it runs.
#[derive(Clone, Debug, Default)]
pub struct Operators(Arc<RwLock<BTreeSet<TenantId>>>);

impl Operators {
    /// Names another one.
    pub fn name(&self, tenant: TenantId) {
        let mut tenants = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tenants.insert(tenant);
    }

    /// Whether the tenant is one of them.
    pub fn has(&self, tenant: TenantId) -> bool {
        let tenants = self.0.read().unwrap_or_else(PoisonError::into_inner);
        tenants.contains(&tenant)
    }
}

/// Everything about quotas.
#[derive(Debug)]
pub(crate) struct Quotas {
    store: Arc<dyn QuotaStore>,
    shared: Arc<dyn Document>,
    live: ArcSwap<Live>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    addresses: ArcSwap<Option<Addresses>>,
    proxies: Proxies,
    operators: Operators,
    algorithm: Algorithm,
    leases: bool,
    ledger: Arc<Ledger>,
    monotonic: Monotonic,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    life: Lifecycle,
}

/// Requests per address; governor counts in this process.
type Addresses = DefaultKeyedRateLimiter<Place>;

impl Quotas {
    /// Opens the store and waits for it a second at most; starts the tasks that look after it.
    pub async fn start(
        config: &QuotaConfig,
        operators: Operators,
        clock: Arc<dyn Clock>,
        ids: &IdSource,
        metrics: &Metrics,
        life: &Lifecycle,
    ) -> Result<Arc<Self>, BuildError> {
        let replica: Uuid = ids.next();
        let options = SharedOptions {
            replicas: config.replicas,
            algorithm: match config.algorithm {
                Algorithm::Strict => quota::Algorithm::Strict,
                Algorithm::Gcra => quota::Algorithm::Gcra,
            },
            subjects: config.subjects,
            ..SharedOptions::new(replica.to_string())
        };
        let uri = config.store.expose();
        let store = quota::open(uri, options, life).map_err(BuildError::Quota)?;
        let shared = document::open(uri, "gateway-limits").map_err(BuildError::Quota)?;
        // The configuration has been validated.
        for tenant in config::tenants(&config.operators).unwrap_or_default() {
            operators.name(tenant);
        }
        let trusted = addressing::networks(&config.trusted_proxies).unwrap_or_default();
        let live = Live::configured(config.limits.clone(), config.algorithm, config.leases);
        let quotas = Arc::new(Self {
            addresses: ArcSwap::from_pointee(addresses(config.limits.address)),
            live: ArcSwap::from_pointee(live),
            changing: tokio::sync::Mutex::default(),
            proxies: Proxies::new(trusted, config.proxy_header),
            operators,
            algorithm: config.algorithm,
            leases: config.leases,
            ledger: Arc::new(Ledger::new(config.ledger, Arc::clone(&clock))),
            monotonic: Monotonic::start(),
            clock,
            metrics: metrics.clone(),
            life: life.clone(),
            store,
            shared,
        });
        let mut mode = quotas.store.mode();
        let known = mode.wait_for(|mode| *mode != Mode::Share);
        let _ = tokio::time::timeout(FIRST_WORD, known).await;
        quotas.look_at_limits().await;
        quotas.show_mode(*quotas.store.mode().borrow());
        quotas.keep();
        Ok(quotas)
    }

    /// The tasks: the mode's gauge and ledger, the shared limits, addresses that can be forgotten.
    fn keep(self: &Arc<Self>) {
        let (quotas, stop) = (Arc::clone(self), self.life.soft_stop());
        self.life.spawn("quota.keep", async move {
            let mut mode = quotas.store.mode();
            let mut forget = tokio::time::interval(FORGET);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    changed = mode.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        let mode = *mode.borrow_and_update();
                        quotas.show_mode(mode);
                        quotas.note(Action::FellBack, "quota.mode", "store".into(), mode.as_str(), None);
                    }
                    _ = forget.tick() => {
                        if let Some(addresses) = &**quotas.addresses.load() {
                            addresses.retain_recent();
                            addresses.shrink_to_fit();
                        }
                    }
                }
            }
        });
        // By itself: a look may take as long as the store is given.
        let (quotas, stop) = (Arc::clone(self), self.life.soft_stop());
        self.life.spawn("quota.limits", async move {
            let mut look = tokio::time::interval(LOOK);
            let looks = async {
                loop {
                    look.tick().await;
                    quotas.look_at_limits().await;
                }
            };
            stop.run_until_cancelled(looks).await;
        });
    }

    fn show_mode(&self, mode: Mode) {
        let gauge = |mode: Mode| -> Gauge { self.metrics.quota_mode(mode) };
        for known in [Mode::Memory, Mode::Shared, Mode::Share] {
            gauge(known).set(i64::from(known == mode));
        }
    }

    /// The limits in force.
    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// The plan of a tenant's callers; of anonymous ones without a tenant.
    pub fn plan_of<'a>(&self, live: &'a Live, tenant: Option<TenantId>) -> &'a str {
        let limits = &live.plans.limits;
        let Some(tenant) = tenant else {
            return &limits.anonymous;
        };
        match limits.tenants.get(&tenant) {
            Some(plan) => plan,
            None if self.operators.has(tenant) => &limits.operator,
            None => &limits.plan,
        }
    }

    pub fn store(&self) -> &dyn QuotaStore {
        &*self.store
    }

    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Refuses everybody but administrators of the tenants that run this installation.
    pub fn require_operator(&self, caller: &Caller) -> Result<(), touchstone_identity::Error> {
        caller.require_admin()?;
        if self.operators.has(caller.tenant) && !caller.is_service() {
            Ok(())
        } else {
            Err(touchstone_identity::Error::Forbidden)
        }
    }

    /// Passes a request of an address, or tells when to come back.
    fn pass(&self, place: Place) -> Result<(), Duration> {
        let addresses = self.addresses.load();
        let Some(addresses) = &**addresses else {
            return Ok(());
        };
        match addresses.check_key(&place) {
            Ok(()) => Ok(()),
            Err(not_yet) => Err(not_yet.wait_time_from(DefaultClock::default().now())),
        }
    }

    /// Writes into the ledger.
    pub fn note(
        &self,
        action: Action,
        policy: &'static str,
        target: Arc<str>,
        state: impl Into<std::borrow::Cow<'static, str>>,
        request: Option<(Class, Option<Duration>, Arc<str>)>,
    ) {
        let decision = Decision::new(self.monotonic.now(), policy, target, action, state);
        let decision = match request {
            None => decision,
            Some((class, holds, id)) => {
                let decision = decision.class(class.priority()).request_id(Some(id));
                match holds {
                    Some(holds) => decision.holds_for(holds),
                    None => decision,
                }
            }
        };
        self.ledger.decided(decision);
    }
}

/// Requests per address, as the limits say.
fn addresses(limit: AddressLimit) -> Option<Addresses> {
    let quota = Quota::per_second(NonZero::new(limit.per_second)?);
    Some(RateLimiter::keyed(
        quota.allow_burst(NonZero::new(limit.burst)?),
    ))
}
