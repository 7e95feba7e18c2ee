#![doc = include_str!("../README.md")]

mod account;
mod channels;
mod chat;
mod config;
pub mod domain;
mod error;
mod exports;
mod history;
mod media;
mod metrics;
mod routes;
mod service;

use std::sync::Arc;

use axum::Router;
use serde_json::json;
use tokio::sync::mpsc;
use touchstone_client::Common;
use touchstone_identity::Verifier;
use touchstone_lifecycle::Lifecycle;
use touchstone_types::{Clock, IdSource};
use touchstone_web::{HealthReport, Surface};

pub use account::{CallError, State};
pub use chat::{Chat, Entry};
pub use config::Config;
pub use error::Error;
pub use exports::{Export, Exports};
pub use service::Telegram;

use account::{Account, Options};
use domain::string_session::{StringSession, StringSessionError};

/// Largest request: names of channels.
const BODY_LIMIT_BYTES: usize = 16 << 10;

/// The application's number that the simulated data centre is told.
const SIMULATED_API_ID: i32 = 1;

/// Everything the service needs from outside.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Who may call.
    pub verifier: Arc<Verifier>,
    /// The stack's metrics.
    pub metrics: touchstone_telemetry::Metrics,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: IdSource,
    /// The session at the simulated data centre, when the configuration has none.
    pub simulated: Option<String>,
}

impl Deps {
    /// Takes what the composition root has.
    pub fn resolve(common: Common, simulated: Option<String>, _: &Config) -> Self {
        Self {
            verifier: common.verifier,
            metrics: common.metrics,
            clock: common.clock,
            ids: common.ids,
            simulated,
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
    /// The folder of the exports cannot be used.
    #[error("the exports' folder cannot be used")]
    Exports(#[source] std::io::Error),
}

/// Builds the service's router and starts its account.
///
/// # Errors
/// [`BuildError`].
#[expect(clippy::unused_async, reason = "every service is built alike")]
pub async fn build(config: Config, deps: Deps, life: &Lifecycle) -> Result<Router, BuildError> {
    let life = life.service("telegram");
    let own = config.session.expose();
    let simulated = own.is_empty();
    let text = if simulated {
        deps.simulated.as_deref().ok_or(BuildError::NoSession)?
    } else {
        own
    };
    let options = Options {
        session: StringSession::parse(text)?,
        api_id: if simulated {
            SIMULATED_API_ID
        } else {
            config.api_id
        },
        rate: config.rate_limit,
        bridge: None,
    };
    let exports = Exports::open(&config.exports).map_err(BuildError::Exports)?;
    let (hints, _) = mpsc::unbounded_channel();
    let account = Account::start(options, hints, &life);
    let metrics = metrics::Metrics::new(&deps.metrics.scope("telegram"));
    let timeout = config.request_timeout;
    let telegram = Telegram::new(
        account,
        exports,
        deps.clock,
        metrics.clone(),
        timeout,
        simulated,
    );
    let asked = telegram.clone();
    Ok(
        Surface::new("telegram", &life, &deps.metrics, deps.verifier, deps.ids)
            .body_limit(BODY_LIMIT_BYTES)
            .timeout(timeout)
            .health(move || health(asked.clone(), metrics.clone()))
            .finish(routes::router(telegram)),
    )
}

async fn health(telegram: Telegram, metrics: metrics::Metrics) -> HealthReport {
    let state = telegram.state();
    let authorized = matches!(state, State::Authorized { .. });
    let standing = telegram.account().standing();
    metrics.authorized.set(i64::from(authorized));
    metrics
        .flood_waits
        .set(i64::try_from(standing.floods).unwrap_or(i64::MAX));
    HealthReport::healthy()
        .with(
            "telegram_connected",
            !matches!(state, State::Connecting | State::Unreachable { .. }),
        )
        .with("telegram_authorized", authorized)
        .with(
            "data_centre",
            if telegram.is_simulated() {
                "simulated"
            } else {
                "telegram"
            },
        )
        .with("account", json!(state))
        .with("calls", standing.calls)
        .with("flood_waits", standing.floods)
        .degraded_unless(authorized)
}
