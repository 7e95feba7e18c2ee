//! Looks at the servers that the configuration names before anything is built on them, so that
//! every mistake is told at once, by the name of its variable.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;
use touchstone_config::Error;
use touchstone_lifecycle::trial::Mistake;
use touchstone_store::postgres::{self, Explained, Options};
use touchstone_store::{Backend, StoreUri};

use crate::{Service, Settings};

/// Pause between two looks at a server that is not up yet.
const PAUSE: Duration = Duration::from_millis(250);

/// A service's schema in PostgreSQL.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    /// What its URL is called in messages.
    pub variable: String,
    /// Where it is.
    pub uri: StoreUri,
    /// How it is used.
    pub options: Options,
    /// Its tables and statements.
    pub store: &'static Explained,
}

static AUTH: Explained = touchstone_auth::EXPLAINED;
static DOCUMENT: Explained = touchstone_document::store::postgres::EXPLAINED;
static GENERATION: Explained = touchstone_generation::store::EXPLAINED;
static TELEGRAM: Explained = touchstone_telegram::store::postgres::EXPLAINED;

impl Settings {
    /// The schemas of those of `services` that keep their data in PostgreSQL.
    pub(crate) fn schemas(&self, services: &[Service]) -> Vec<Schema> {
        services
            .iter()
            .filter_map(|service| {
                let (uri, options, store) = match service {
                    Service::Auth => (&self.auth.store, &self.auth.postgres, &AUTH),
                    Service::Document => (&self.document.store, &self.document.postgres, &DOCUMENT),
                    Service::Generation => (
                        &self.generation.store,
                        &self.generation.postgres,
                        &GENERATION,
                    ),
                    Service::Telegram => (&self.telegram.store, &self.telegram.postgres, &TELEGRAM),
                    _ => return None,
                };
                let common = self.stack.database_url.expose() == uri.as_str();
                (uri.backend().ok()? == Backend::Postgres).then(|| Schema {
                    variable: if common {
                        "DATABASE_URL".to_owned()
                    } else {
                        format!("{service}.store")
                    },
                    uri: uri.clone(),
                    options: options.clone(),
                    store,
                })
            })
            .collect()
    }
}

/// Tries every server that `services` need. What refuses, is not to be found, or is something else, is
/// a mistake, after a wait for what is not up yet. PostgreSQL must be there; the others may be away:
/// the stack goes on without them and catches up.
///
/// # Errors
/// One line per mistake.
pub(crate) async fn check(settings: &Settings, services: &[Service]) -> Result<(), Error> {
    let schemas = settings.schemas(services);
    let wait = settings.stack.startup_wait;
    let databases: BTreeMap<&str, &StoreUri> = schemas
        .iter()
        .map(|schema| (schema.variable.as_str(), &schema.uri))
        .collect();
    let tried = join_all(databases.iter().map(|(variable, uri)| async move {
        let tried = until_up(uri.as_str(), wait).await;
        (*variable, tried)
    }))
    .await;
    let mut problems: Vec<String> = Box::pin(others(settings, services)).await;
    for (variable, tried) in &tried {
        if let Err(mistake) = tried {
            problems.push(format!("`{variable}`: {mistake}"));
        }
    }
    for schema in &schemas {
        let is_up = tried
            .iter()
            .any(|(variable, tried)| *variable == schema.variable && tried.is_ok());
        if is_up && let Err(problem) = look_at(schema).await {
            problems.push(format!("`{}`: {problem}", schema.variable));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error { problems })
    }
}

async fn until_up(uri: &str, wait: Duration) -> Result<(), String> {
    let end = Instant::now() + wait;
    loop {
        match postgres::check(uri).await {
            Ok(()) => return Ok(()),
            Err(mistake) if !mistake.is_transient() => return Err(mistake.to_string()),
            Err(mistake) if Instant::now() + PAUSE >= end => {
                return Err(format!(
                    "{mistake}; waited {}",
                    humantime::format_duration(wait)
                ));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// What is wrong with the servers that may be away.
async fn others(settings: &Settings, services: &[Service]) -> Vec<String> {
    let wait = settings.stack.startup_wait;
    let has = |service| services.contains(&service);
    let events = settings.stack.events_uri();
    let (vector, analytics) = (&settings.vector, &settings.analytics);
    let kafka = patiently("KAFKA_BROKERS", wait, async || {
        touchstone_events::trial(&events).await
    });
    let redis = patiently("REDIS_URL", wait, async || {
        if has(Service::Gateway) {
            touchstone_api_gateway::trial(&settings.gateway).await
        } else {
            Ok(())
        }
    });
    let qdrant = patiently("QDRANT_URL", wait, async || {
        if has(Service::Vector) {
            touchstone_vector::trial(vector).await
        } else {
            Ok(())
        }
    });
    let clickhouse = patiently("CLICKHOUSE_URL", wait, async || {
        if has(Service::Analytics) {
            touchstone_analytics::trial(analytics).await
        } else {
            Ok(())
        }
    });
    let (kafka, redis, qdrant, clickhouse) = tokio::join!(kafka, redis, qdrant, clickhouse);
    let all = [kafka, redis, qdrant, clickhouse];
    all.into_iter().flatten().collect()
}

/// Tries until the server is there, is away, or has been wrong for as long as a start may take; the
/// mistake, if it is one.
async fn patiently(
    variable: &str,
    wait: Duration,
    trial: impl AsyncFn() -> Result<(), Mistake>,
) -> Option<String> {
    let end = Instant::now() + wait;
    loop {
        match trial().await {
            Ok(()) => return None,
            Err(Mistake::Away(why)) => {
                tracing::warn!("`{variable}`: {why}; going on without");
                return None;
            }
            Err(Mistake::Refused(why)) => return Some(format!("`{variable}`: {why}")),
            Err(Mistake::Misplaced(why)) if Instant::now() + PAUSE >= end => {
                let waited = humantime::format_duration(wait);
                return Some(format!("`{variable}`: {why}; waited {waited}"));
            }
            Err(Mistake::Misplaced(_)) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// An older schema is a mistake only where it may not be brought up to date.
async fn look_at(schema: &Schema) -> Result<(), String> {
    let Schema {
        uri,
        options,
        store,
        ..
    } = schema;
    let state = postgres::state(uri.as_str(), store.service, store.migrator, options).await;
    let state = state.map_err(|error| touchstone_error::chain(&error).to_string())?;
    match state.older(store.service) {
        Some(error) if !options.migrate => Err(error.to_string()),
        _ => Ok(()),
    }
}
