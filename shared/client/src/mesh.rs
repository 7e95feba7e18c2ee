use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use http::Uri;
use touchstone_identity::ServiceKey;
use touchstone_types::Clock;

use crate::transport::{HttpClient, Transport, TransportError, http_client};

/// Knows where each service is. Names are resolved when a call is made, so that services can be
/// built in any order.
#[derive(Clone)]
pub struct Mesh {
    inner: Arc<Inner>,
}

struct Inner {
    targets: RwLock<BTreeMap<String, Transport>>,
    http: Arc<HttpClient>,
    service_key: ServiceKey,
    clock: Arc<dyn Clock>,
}

impl Mesh {
    /// A mesh without services; `service_key` vouches for its members.
    pub fn new(service_key: ServiceKey, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner {
            targets: RwLock::default(),
            http: Arc::new(http_client()),
            service_key,
            clock,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// `service` is this router.
    pub fn mount(&self, service: impl Into<String>, router: Router) {
        self.put(service.into(), Transport::InProcess(router));
    }

    /// `service` is at this URL (scheme and authority).
    pub fn connect(&self, service: impl Into<String>, base: Uri) {
        let client = Arc::clone(&self.inner.http);
        self.put(service.into(), Transport::Http { base, client });
    }

    /// Forgets every service; breaks the circle of routers that hold the mesh that holds them.
    pub fn clear(&self) {
        self.inner
            .targets
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Names of the services that are known.
    pub fn services(&self) -> Vec<String> {
        self.inner
            .targets
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect()
    }

    /// The way to `service`.
    pub fn transport(&self, service: &str) -> Result<Transport, TransportError> {
        let targets = self
            .inner
            .targets
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        targets
            .get(service)
            .cloned()
            .ok_or_else(|| TransportError::Unmounted(service.to_owned()))
    }

    /// The key that vouches for this deployment's services.
    pub fn service_key(&self) -> &ServiceKey {
        &self.inner.service_key
    }

    /// The deployment's clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    fn put(&self, service: String, transport: Transport) {
        let mut targets = self
            .inner
            .targets
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        targets.insert(service, transport);
    }
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mesh").field(&self.services()).finish()
    }
}
