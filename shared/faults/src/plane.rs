use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, Response};
use subtle::ConstantTimeEq;
use tokio::time::Instant;
use touchstone_config::Secret;
use touchstone_telemetry::Metrics;
use touchstone_types::{Clock, IdSource};

use crate::clock::FaultyClock;
use crate::header;
use crate::scope::Scope;
use crate::server::Server;
use crate::site::Site;

/// Strikes that are remembered for each service unless said otherwise.
const LOG_ROOM: usize = 100_000;

/// The faults of a process: one place per service, one key, one seed.
#[derive(Clone)]
pub struct Plane(Arc<Inner>);

struct Inner {
    key: Secret,
    seed: u64,
    began: Instant,
    ids: IdSource,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    sites: Mutex<BTreeMap<&'static str, Arc<Site>>>,
}

/// Sends a request to every instance of a service that is elsewhere; `None` when there is no such
/// service.
pub type Relay = Arc<dyn Fn(String, Request<()>, bytes::Bytes) -> Relayed + Send + Sync>;
/// What they answered.
pub type Relayed = Pin<Box<dyn Future<Output = Option<Vec<Answer>>> + Send>>;
/// What one of them answered: its name, and the answer or why there is none.
pub type Answer = (String, Result<Response<Body>, String>);

impl fmt::Debug for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plane").finish_non_exhaustive()
    }
}

impl Plane {
    /// A plane that `key` switches; `None` without a key: then there are no faults.
    pub fn new(
        key: &Secret,
        seed: u64,
        ids: IdSource,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Option<Self> {
        if key.is_empty() {
            return None;
        }
        tracing::warn!("faults can be asked for with the fault-admin key: not for production");
        Some(Self(Arc::new(Inner {
            key: key.clone(),
            seed,
            began: Instant::now(),
            ids,
            clock,
            metrics: metrics.clone(),
            sites: Mutex::default(),
        })))
    }

    /// Puts the faults of `service` around its router. `relay`, where there is one, reaches the
    /// other services.
    pub fn around(&self, service: &'static str, router: Router, relay: Option<Relay>) -> Router {
        let server = Server::new(self.clone(), self.site(service), router, relay);
        Router::new().fallback_service(server)
    }

    /// The clock as services see it.
    pub fn clock(clock: Arc<dyn Clock>) -> Arc<dyn Clock> {
        Arc::new(FaultyClock(clock))
    }

    /// Builds a service: what it opens meanwhile asks for its faults.
    pub async fn building<F: Future>(&self, service: &'static str, build: F) -> F::Output {
        let scope = Scope::of_nothing(self.clone(), self.site(service));
        scope.run(build).await
    }

    /// What strikes the events that `service` publishes.
    pub fn events(&self, service: &'static str) -> crate::Events {
        crate::Events::new(self.site(service))
    }

    pub(crate) fn site(&self, service: &'static str) -> Arc<Site> {
        let inner = &*self.0;
        let mut sites = inner.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let site = sites.entry(service).or_insert_with(|| {
            Arc::new(Site::new(
                service,
                inner.seed,
                inner.began,
                LOG_ROOM,
                Arc::clone(&inner.clock),
                &inner.metrics,
            ))
        });
        Arc::clone(site)
    }

    /// The place of a service that has been built here.
    pub(crate) fn known(&self, service: &str) -> Option<Arc<Site>> {
        let sites = self.0.sites.lock().unwrap_or_else(PoisonError::into_inner);
        sites.get(service).cloned()
    }

    pub(crate) fn seed(&self) -> u64 {
        self.0.seed
    }

    /// Whether the headers show the key.
    pub(crate) fn knows(&self, headers: &HeaderMap) -> bool {
        let own = self.0.key.expose().as_bytes();
        let shown = headers.get(header::KEY).map(HeaderValue::as_bytes);
        shown.is_some_and(|shown| bool::from(shown.ct_eq(own)))
    }

    /// The key, for a request that carries its fault to another service.
    pub(crate) fn key(&self) -> Option<HeaderValue> {
        let mut key = HeaderValue::from_str(self.0.key.expose()).ok()?;
        key.set_sensitive(true);
        Some(key)
    }

    pub(crate) fn fresh_id(&self) -> String {
        let id: uuid::Uuid = self.0.ids.next();
        id.to_string()
    }
}
