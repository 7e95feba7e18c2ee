use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use serde_json::json;
use tokio::sync::mpsc;
use touchstone_client::{Common, DocumentClient};
use touchstone_config::Secret;
use touchstone_error::Classify;
use touchstone_events::{Backlog, EventBus, Relay, RelayOptions};
use touchstone_identity::{ServiceKey, Verifier};
use touchstone_lifecycle::Lifecycle;
use touchstone_types::{Clock, IdSource};
use touchstone_web::{HealthReport, Surface};

use crate::account::{
    Account, AccountSession, Beginning, Instance, Lease, OpenError, Options, State,
};
use crate::config::Config;
use crate::domain::proxy::{Proxy, ProxyError};
use crate::domain::string_session::{StringSession, StringSessionError};
use crate::exports::Exports;
use crate::guests::{self, Door, Guests};
use crate::metrics::Metrics;
use crate::mirror::documents::Documents;
use crate::mirror::{Mirror, Parts};
use crate::service::Telegram;
use crate::{SERVICE, egress, error, routes, store};

/// Largest request: names of channels.
const BODY_LIMIT_BYTES: usize = 16 << 10;

/// The application's number that the simulated data centre is told.
const SIMULATED_API_ID: i32 = 1;

/// Everything the service needs from outside.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Who may call.
    pub verifier: Arc<Verifier>,
    /// Vouches for guests.
    pub service_key: ServiceKey,
    /// The stack's metrics.
    pub metrics: touchstone_telemetry::Metrics,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: IdSource,
    /// Brings posts to those who make documents of them.
    pub bus: Arc<dyn EventBus>,
    /// Makes the documents.
    pub documents: DocumentClient,
    /// The session at the simulated data centre, when the configuration has none.
    pub simulated: Option<String>,
    /// Further data centres of the simulated one: sessions that know their keys.
    pub simulated_elsewhere: Vec<String>,
    /// Whom callers without a credential are taken for; `None` unless the service listens on
    /// loopback alone.
    pub guests: Option<Guests>,
}

impl Deps {
    /// Takes what the composition root has.
    pub fn resolve(
        common: Common,
        bus: Arc<dyn EventBus>,
        simulated: Option<String>,
        _: &Config,
    ) -> Self {
        Self {
            documents: DocumentClient::new(common.mesh.clone(), SERVICE),
            bus,
            service_key: common.mesh.service_key().clone(),
            verifier: common.verifier,
            metrics: common.metrics,
            clock: common.clock,
            ids: common.ids,
            simulated,
            simulated_elsewhere: Vec::new(),
            guests: None,
        }
    }
}

/// The service cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// There is no session, and no simulated data centre either.
    #[error(
        "no SESSION is set and there is no simulated data centre; {}",
        error::LOG_IN
    )]
    NoSession,
    /// The session cannot be read.
    #[error("SESSION is no StringSession: {0}")]
    Session(#[from] StringSessionError),
    /// The store of channels cannot be opened.
    #[error("cannot open the store of channels")]
    Store(#[source] touchstone_store::Error),
    /// What is kept of the session cannot be taken up.
    #[error("the kept keys of the account cannot be sealed")]
    Vault,
    /// The bus takes no subscription.
    #[error("cannot subscribe to posts")]
    Events(#[source] touchstone_events::Error),
    /// The proxy's URL cannot be read.
    #[error("TELEGRAM_PROXY {0}")]
    Proxy(#[from] ProxyError),
    /// The bridge to the proxy cannot listen.
    #[error("the bridge to the proxy cannot listen")]
    Bridge(#[source] std::io::Error),
    /// The folder of the exports cannot be used.
    #[error("the exports' folder cannot be used")]
    Exports(#[source] std::io::Error),
}

/// Builds the service's router and starts its account.
///
/// # Errors
/// [`BuildError`].
pub async fn build(config: Config, deps: Deps, life: &Lifecycle) -> Result<Router, BuildError> {
    let life = life.service(SERVICE);
    let own = config.session.expose();
    let simulated = own.is_empty();
    let text = if simulated {
        deps.simulated.as_deref().ok_or(BuildError::NoSession)?
    } else {
        own
    };
    let store = store::open(&config.store, &config.postgres)
        .await
        .map_err(BuildError::Store)?;
    let elsewhere = deps.simulated_elsewhere.as_slice();
    let elsewhere = if simulated { elsewhere } else { &[] };
    let session = Arc::new(session(text, elsewhere, Arc::clone(&store)).await?);
    let exports = Exports::open(&config.exports).map_err(BuildError::Exports)?;
    let proxy = way_out(&config, &session, &deps.ids, &life).await?;
    let metrics = Metrics::new(&deps.metrics.scope(SERVICE));
    let options = Options {
        metrics: metrics.clone(),
        lease: Lease {
            leases: store.clone(),
            account: session.account().to_owned(),
            instance: Arc::new(Instance::of(&config.exports, deps.ids.next())),
            clock: deps.clock.clone(),
        },
        session,
        api_id: if simulated {
            SIMULATED_API_ID
        } else {
            config.api_id
        },
        rate: config.rate_limit,
        proxy,
    };
    let documents = Documents {
        store: Arc::clone(&store),
        client: deps.documents,
        metrics: metrics.clone(),
    };
    // Subscribed before the relay starts: a bus hands events only to groups that exist.
    documents
        .start(&*deps.bus, &life)
        .await
        .map_err(BuildError::Events)?;
    let relay = Relay::new(
        store.outbox(),
        deps.bus.clone(),
        deps.clock.clone(),
        RelayOptions::default(),
    );
    let (waker, backlog) = (relay.waker(), relay.backlog());
    relay.start("telegram.relay", &life);
    let (hints, told) = mpsc::unbounded_channel();
    let account = Account::start(options, hints, &life);
    let parts = Parts {
        account: account.clone(),
        store,
        clock: deps.clock.clone(),
        ids: deps.ids.clone(),
        waker,
        metrics: metrics.clone(),
        poll: config.sync_poll,
        // A bus in the process needs no cluster, and has no memory of its own.
        forgetful: deps.bus.state().connected.is_none(),
    };
    let mirror = Mirror::start(parts, told, &life)
        .await
        .map_err(BuildError::Store)?;
    let telegram = Telegram::new(
        account,
        exports,
        deps.clock.clone(),
        metrics,
        config.request_timeout,
        simulated,
        mirror,
    );
    let guests = deps.guests.filter(|_| config.anonymous_loopback);
    let checked = Checked {
        telegram: telegram.clone(),
        guests: guests.clone(),
        bus: deps.bus,
        backlog,
    };
    let router = Surface::new(SERVICE, &life, &deps.metrics, deps.verifier, deps.ids)
        .body_limit(BODY_LIMIT_BYTES)
        .timeout(config.request_timeout)
        .health(move || health(checked.clone()))
        .finish(routes::router(telegram));
    Ok(match guests {
        None => router,
        Some(guests) => router.layer(from_fn_with_state(
            Door {
                guests,
                key: deps.service_key,
                clock: deps.clock,
            },
            guests::admit,
        )),
    })
}

/// Reads the session, and takes up what was kept of it.
async fn session(
    text: &str,
    elsewhere: &[String],
    store: Arc<dyn store::Store>,
) -> Result<AccountSession, BuildError> {
    let home = StringSession::parse(text)?;
    let elsewhere: Result<Vec<_>, _> = elsewhere
        .iter()
        .map(|it| StringSession::parse(it))
        .collect();
    let begin = Beginning {
        home: &home,
        elsewhere: &elsewhere?,
        store,
    };
    let opened = AccountSession::open(begin).await;
    opened.map_err(|error| match error {
        OpenError::Store(error) => BuildError::Store(error),
        OpenError::Vault => BuildError::Vault,
    })
}

/// The proxy, or the bridge to it, that the client is told of.
async fn way_out(
    config: &Config,
    session: &Arc<AccountSession>,
    ids: &IdSource,
    life: &Lifecycle,
) -> Result<Option<Secret>, BuildError> {
    let proxy = Proxy::parse(config.proxy.expose())?;
    let password: uuid::Uuid = ids.next();
    let password = password.simple().to_string();
    egress::way_out(proxy, session, &password, life)
        .await
        .map_err(BuildError::Bridge)
}

/// What the health is made of.
#[derive(Clone)]
struct Checked {
    telegram: Telegram,
    guests: Option<Guests>,
    bus: Arc<dyn EventBus>,
    backlog: Backlog,
}

async fn health(checked: Checked) -> HealthReport {
    let Checked {
        telegram,
        guests,
        bus,
        backlog,
    } = checked;
    let state = telegram.state();
    let authorized = matches!(state, State::Authorized { .. });
    let standing = telegram.account().standing();
    let connected = matches!(
        state,
        State::Authorized { .. } | State::NotAuthorized | State::Duplicated
    );
    let data_centre = if telegram.is_simulated() {
        "simulated"
    } else {
        "telegram"
    };
    // A bus in the process needs no cluster, and is always there.
    let kafka = bus.state().connected;
    let mut report = HealthReport::healthy().degraded_unless(kafka.unwrap_or(true));
    match telegram.mirror().store().untold().await {
        Ok(untold) => report = report.with("posts_untold", untold),
        Err(error) => report = report.with("store", error.code()).degraded_unless(false),
    }
    report
        .with("kafka_connected", kafka.unwrap_or(false))
        .with("relay_backlog", backlog.events())
        .with("channels_followed", telegram.mirror().followed())
        .with("telegram_connected", connected)
        .with("telegram_authorized", authorized)
        .with("data_centre", data_centre)
        .with("account", json!(state))
        .with("calls", standing.calls)
        .with("flood_waits", standing.floods)
        .with(
            "anonymous_loopback",
            guests.is_some_and(|guests| guests.are_welcome()),
        )
        .degraded_unless(authorized)
}
