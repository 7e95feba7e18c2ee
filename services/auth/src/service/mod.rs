//! The operations of auth.

mod api_keys;
mod credentials;
mod demo;
mod sessions;

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use touchstone_api::auth::{Jwks, User as WireUser};
use touchstone_api::document::CreateDocumentRequest;
use touchstone_client::Mesh;
use touchstone_error::chain;
use touchstone_identity::{Caller, Verifier};
use touchstone_types::{Clock, IdSource};

pub use api_keys::NewApiKey;

use crate::config::Config;
use crate::domain::Throttle;
use crate::hasher::Hasher;
use crate::keys::Keys;
use crate::metrics::AuthMetrics;
use crate::store::{self, Store};
use crate::{BuildError, Deps, Error, SERVICE};

/// Auth; cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    config: Config,
    store: Arc<dyn Store>,
    hasher: Hasher,
    throttle: Throttle,
    keys: Keys,
    metrics: AuthMetrics,
    verifier: Arc<Verifier>,
    mesh: Mesh,
    demo: Arc<[CreateDocumentRequest]>,
    clock: Arc<dyn Clock>,
    ids: IdSource,
    deps: Deps,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

impl Auth {
    pub(crate) async fn open(config: Config, deps: Deps) -> Result<Self, BuildError> {
        let store = store::open(&config.store, &config.postgres).await?;
        let keys = Keys::load(&config, &*store, deps.clock.now()).await?;
        let metrics = AuthMetrics::new(&deps.metrics.scope(SERVICE));
        Ok(Self(Arc::new(Inner {
            hasher: Hasher::new(&config.argon2, metrics.clone())?,
            throttle: Throttle::new(config.throttle.rules()),
            config,
            store,
            keys,
            metrics,
            verifier: Arc::clone(&deps.verifier),
            mesh: deps.mesh.clone(),
            demo: Arc::clone(&deps.demo),
            clock: Arc::clone(&deps.clock),
            ids: deps.ids.clone(),
            deps,
        })))
    }

    pub(crate) fn deps(&self) -> &Deps {
        &self.0.deps
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// The public keys in force.
    pub fn jwks(&self) -> Jwks {
        self.0.keys.jwks.clone()
    }

    /// The caller's account.
    ///
    /// # Errors
    /// [`Error::UnknownUser`] when it is gone.
    pub async fn me(&self, caller: &Caller) -> Result<WireUser, Error> {
        let account = self.0.store.account(caller.user).await?;
        let account = account
            .filter(|account| account.tenant.id == caller.tenant)
            .ok_or(Error::UnknownUser)?;
        Ok(WireUser {
            id: account.user.id,
            email: account.user.email,
            tenant_id: account.tenant.id,
            tenant_name: account.tenant.name,
            role: account.user.role,
            created_at: account.user.created_at,
        })
    }

    /// Whether the store answers.
    pub(crate) async fn is_healthy(&self) -> bool {
        self.0.store.ping().await.is_ok()
    }

    /// Deletes what expired, now and then, until `stop`.
    pub(crate) async fn purge_loop(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.0.config.purge_every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Err(error) = self.purge().await {
                tracing::warn!(error = %chain(&error), "what expired was not deleted");
            }
        }
    }

    /// Deletes logins that expired and addresses that are forgotten.
    async fn purge(&self) -> Result<(), touchstone_store::Error> {
        let now = self.now();
        let forgotten = now - delta(self.0.config.throttle.known_address_ttl);
        let deleted = self.0.store.purge(now, forgotten).await?;
        if deleted > 0 {
            tracing::debug!(
                deleted,
                "deleted {deleted} logins and addresses that expired"
            );
        }
        Ok(())
    }

    fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }
}

/// A configured duration; those are far below the limit.
fn delta(duration: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
