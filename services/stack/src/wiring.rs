//! Builds one service after the other out of its settings and what all of them share.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use touchstone_api_gateway::Operators;
use touchstone_client::Common;
use touchstone_events::EventBus;
use touchstone_lifecycle::{Lifecycle, Listener};
use touchstone_telegram::Guests;
use touchstone_telegram_simulator::{Scenario, Simulator};

use crate::demo;
use crate::{Profile, Service, Settings};

/// A service could not be built.
#[derive(Debug, thiserror::Error)]
#[error("{service} does not start")]
pub struct BuildError {
    service: Service,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Prefix of store URIs that follow the data directory.
const DATA: &str = "data/";

impl Settings {
    /// Points every default place below `data/` into the data directory, and hands the stack's
    /// profile and seed down.
    pub(crate) fn settle(&mut self) {
        let directory = self.stack.data_dir.clone();
        let follow = |uri: &str| {
            let path = uri.strip_prefix("sqlite://")?.strip_prefix(DATA)?;
            Some(format!("sqlite://{}", directory.join(path).display()))
        };
        let database = self.stack.database_url.expose();
        for uri in [
            &mut self.auth.store,
            &mut self.document.store,
            &mut self.generation.store,
            &mut self.telegram.store,
        ] {
            // A store that was set by itself stays where it is.
            if let Some(file) = follow(uri.as_str()) {
                *uri = if database.is_empty() {
                    file.into()
                } else {
                    database.into()
                };
            }
        }
        for uri in [&mut self.vector.store, &mut self.analytics.store] {
            if let Some(file) = follow(uri) {
                *uri = file;
            }
        }
        if !self.stack.migrate {
            self.set_migrate(false);
        }
        self.model.directory = self.models_dir();
        if let Ok(path) = self.telegram.exports.strip_prefix(DATA) {
            self.telegram.exports = self.stack.data_dir.join(path);
        }
        if self.generation.simulated.seed == 0 {
            self.generation.simulated.seed = self.stack.seed;
        }
        if self.stack.profile == Profile::Production {
            self.auth.profile = touchstone_auth::Profile::Production;
            // Whatever else runs on that machine is not the demo user.
            self.telegram.anonymous_loopback = false;
        }
    }

    /// Lets schemas be brought up to date, whatever was configured.
    pub(crate) fn may_migrate(&mut self) {
        self.set_migrate(true);
    }

    fn set_migrate(&mut self, migrate: bool) {
        for options in [
            &mut self.auth.postgres,
            &mut self.document.postgres,
            &mut self.generation.postgres,
            &mut self.telegram.postgres,
        ] {
            options.migrate = migrate;
        }
    }

    /// Where models are installed.
    pub fn models_dir(&self) -> std::path::PathBuf {
        match Path::new(&self.model.directory).strip_prefix(DATA) {
            Ok(path) => self.stack.data_dir.join(path),
            Err(_) => self.model.directory.clone(),
        }
    }
}

/// What those who run the stack are known by.
pub(crate) struct Operation<'a> {
    /// Who they are.
    pub operators: &'a Operators,
    /// Whom callers on this machine are taken for who show no credential.
    pub guests: &'a Guests,
    /// Their port, until it is served.
    pub admin: &'a mut Option<Listener>,
}

/// Builds `service`; its router still has to be mounted and served.
pub(crate) async fn build(
    service: Service,
    settings: &Settings,
    parser: Option<&Path>,
    common: &Common,
    bus: &Arc<dyn EventBus>,
    life: &Lifecycle,
    operation: &mut Operation<'_>,
) -> Result<Router, BuildError> {
    let common = common.clone();
    match service {
        Service::Model => {
            let config = settings.model.clone();
            let deps = touchstone_model::Deps::resolve(&common, &config);
            touchstone_model::build(config, deps, life)
                .await
                .map_err(of(service))
        }
        Service::Vector => {
            let config = settings.vector.clone();
            let deps = touchstone_vector::Deps::resolve(common, &config);
            touchstone_vector::build(config, deps, life)
                .await
                .map_err(of(service))
        }
        Service::Embedding => {
            let config = settings.embedding.clone();
            let deps = touchstone_embedding::Deps::resolve(&common, &config);
            touchstone_embedding::build(config, deps, life)
                .await
                .map_err(of(service))
        }
        Service::Auth => {
            let corpus: Arc<[_]> = demo::corpus().into();
            let deps = touchstone_auth::Deps::resolve(common, corpus);
            touchstone_auth::build(settings.auth.clone(), deps, life)
                .await
                .map_err(of(service))
        }
        Service::Document => {
            let config = settings.document.clone();
            let mut deps = touchstone_document::Deps::resolve(common, Arc::clone(bus), &config);
            deps.parser = parser.map(Path::to_owned);
            touchstone_document::build(config, deps, life)
                .await
                .map_err(of(service))
        }
        Service::Retrieval => {
            let config = settings.retrieval.clone();
            let deps = touchstone_retrieval::Deps::resolve(common, &config);
            touchstone_retrieval::build(config, deps, life)
                .await
                .map_err(of(service))
        }
        Service::Generation => {
            let config = settings.generation.clone();
            let deps = touchstone_generation::Deps::resolve(common, &config);
            touchstone_generation::build(config, deps, life)
                .await
                .map_err(of(service))
        }
        Service::Analytics => {
            let config = settings.analytics.clone();
            let deps = touchstone_analytics::Deps::resolve(common, Arc::clone(bus), &config);
            touchstone_analytics::build(config, deps, life)
                .await
                .map_err(of(service))
        }
        Service::Telegram => {
            let config = settings.telegram.clone();
            let data_centre = data_centre(settings, &common, life).await;
            let data_centre = data_centre.map_err(of(service))?;
            let simulated = data_centre.map(|simulator| simulator.session().to_owned());
            let mut deps =
                touchstone_telegram::Deps::resolve(common, Arc::clone(bus), simulated, &config);
            let local = settings.stack.host.is_loopback();
            deps.guests = local.then(|| operation.guests.clone());
            touchstone_telegram::build(config, deps, life)
                .await
                .map_err(of(service))
        }
        Service::Gateway => {
            let config = settings.gateway.clone();
            let mut deps = touchstone_api_gateway::Deps::resolve(common, &config);
            deps.operators = operation.operators.clone();
            let built = touchstone_api_gateway::build_both(config, deps, life).await;
            let (router, admin) = built.map_err(of(service))?;
            if let Some(listener) = operation.admin.take() {
                life.serve(listener, admin);
            }
            Ok(router)
        }
    }
}

/// The simulated data centre, when there is no session for Telegram's own.
async fn data_centre(
    settings: &Settings,
    common: &Common,
    life: &Lifecycle,
) -> Result<Option<Simulator>, touchstone_telegram_simulator::StartError> {
    if !settings.telegram.session.is_empty() {
        return Ok(None);
    }
    tracing::info!("no SESSION is set: telegram talks to the simulated data centre");
    let scenario = Scenario {
        seed: settings.stack.seed,
        ..Scenario::default()
    };
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let clock = Arc::clone(&common.clock);
    Simulator::start(any, scenario, clock, life).await.map(Some)
}

fn of<E: std::error::Error + Send + Sync + 'static>(service: Service) -> impl Fn(E) -> BuildError {
    move |error| BuildError {
        service,
        source: Box::new(error),
    }
}
