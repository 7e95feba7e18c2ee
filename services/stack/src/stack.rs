use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use rand::Rng;
use touchstone_api_gateway::Operators;
use touchstone_client::{AuthKeys, Common, Mesh, Recorder};
use touchstone_config::Secret;
use touchstone_events::EventBus;
use touchstone_identity::{AccessPolicy, ServiceKey, Verifier};
use touchstone_lifecycle::{BindError, Edge, Lifecycle, Listener, ShutdownReport, TlsError};
use touchstone_store::{DirLock, DirLockError, Pools};
use touchstone_telegram::Guests;
use touchstone_telemetry::Metrics;
use touchstone_types::{Clock, IdSource};

use crate::demo::{self, Credentials, SeedError};
use crate::faults::Faults;
use crate::recording;
use crate::wiring::{self, BuildError, Operation};
use crate::{Profile, Service, Settings, servers};

/// Folder of the locks, one per service, in the data directory.
const LOCKS: &str = ".locks";
/// Name of the gateway's port for operators.
const ADMIN: &str = "admin";

/// What runs in this process.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Services to run.
    pub services: Vec<Service>,
    /// Whether they listen on their ports; without, they can only be called in process.
    pub listen: bool,
    /// Program that understands `parse-worker`; this one when absent. Tests, whose own program
    /// does not, name the stack's binary.
    pub parser: Option<PathBuf>,
}

impl Plan {
    /// Every service, on its port.
    pub fn everything() -> Self {
        Self {
            services: Service::ALL.to_vec(),
            listen: true,
            parser: None,
        }
    }

    /// Every service, reachable only in this process.
    pub fn in_process() -> Self {
        Self {
            services: Service::ALL.to_vec(),
            listen: false,
            parser: None,
        }
    }

    /// Some services, on their ports.
    pub fn only(services: impl IntoIterator<Item = Service>) -> Self {
        // Callees before callers, each once.
        let wanted: std::collections::BTreeSet<_> = services.into_iter().collect();
        Self {
            services: wanted.into_iter().collect(),
            listen: true,
            parser: None,
        }
    }

    fn is_everything(&self) -> bool {
        Service::ALL
            .iter()
            .all(|service| self.services.contains(service))
    }
}

/// Why a stack does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Another process works on the data.
    #[error(
        "another process uses the data directory `{}`; stop it or choose another with --data-dir",
        .0.display()
    )]
    DataInUse(PathBuf),
    /// The data directory cannot be used.
    #[error("the data directory cannot be used")]
    Data(#[source] DirLockError),
    /// Services in several processes need a common secret.
    #[error(
        "SERVICE_KEY is not set; processes that serve single services need the same secret of at \
         least 32 bytes"
    )]
    NoServiceKey,
    /// A server that the configuration names cannot be used.
    #[error(transparent)]
    Configuration(#[from] touchstone_config::Error),
    /// The bus cannot be opened.
    #[error("the event bus cannot be opened")]
    Events(#[source] touchstone_events::Error),
    /// The certificate of the gateway or its key cannot be used.
    #[error("{variable}: {reason}")]
    Tls {
        /// Which of them is to blame.
        variable: &'static str,
        /// Why.
        reason: TlsError,
    },
    /// A service cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The demo data cannot be loaded.
    #[error(transparent)]
    Seed(#[from] SeedError),
}

/// A running stack, or a part of one.
pub struct Stack {
    settings: Settings,
    common: Common,
    life: Lifecycle,
    routers: BTreeMap<Service, Router>,
    addresses: BTreeMap<Service, SocketAddr>,
    /// Whether the gateway has a certificate.
    encrypted: bool,
    admin: Option<SocketAddr>,
    operators: Operators,
    guests: Guests,
    _locks: Vec<DirLock>,
}

impl Stack {
    /// Binds the ports, builds the services, serves them and waits until they are ready.
    pub async fn start(settings: Settings, plan: Plan) -> Result<Self, StartError> {
        // On the heap: what is under way while everything is built is large.
        let stack = Box::pin(Self::launch(settings, plan)).await?;
        stack.life.ready().await;
        Ok(stack)
    }

    /// As [`Stack::start`], without the wait: services may still load, or wait for a server.
    pub async fn launch(mut settings: Settings, plan: Plan) -> Result<Self, StartError> {
        settings.settle();
        let listeners = bind(&settings, &plan).await?;
        let mut admin = bind_admin(&settings, &plan).await?;
        let locks = lock(&settings, &plan)?;
        Box::pin(servers::check(&settings, &plan.services)).await?;
        let service_key = service_key(&settings.stack.service_key, &plan)?;
        let metrics = Metrics::new();
        let faults = Faults::of(&settings, &metrics);
        let clock = faults.clock();
        let mesh = mesh(&settings, &service_key, clock.clone(), &metrics);
        faults.strike(&mesh);
        let jwt_secret = settings.auth.jwt_secret.clone();
        let jwt_secret = (!jwt_secret.is_empty()).then(|| jwt_secret.expose().as_bytes());
        let verifier = Verifier::new(
            AccessPolicy::default(),
            clock.clone(),
            service_key,
            jwt_secret,
            Arc::new(AuthKeys::new(mesh.clone())),
        );
        let (mut recorder, recorded) = Recorder::new(recording::ROOM);
        if settings.analytics.collector == touchstone_analytics::Collector::Mock {
            recorder = Recorder::off();
        }
        let common = Common {
            mesh,
            verifier: Arc::new(verifier),
            metrics,
            clock,
            ids: IdSource::system(),
            recorder,
        };
        // Mistakes in certificates are told before anything is built.
        let edge = edge(&settings, &plan, &common.metrics)?;
        connect_others(&settings, &plan, &common.mesh);
        let bus: Arc<dyn EventBus> =
            touchstone_events::open(&settings.stack.events_uri()).map_err(StartError::Events)?;
        let life = Lifecycle::new();
        let names = common.mesh.clone().follow_names();
        let stopped = life.soft_stop().run_until_cancelled_owned(names);
        life.spawn("mesh.names", async move {
            let _ = stopped.await;
        });
        let (ids, clock) = (common.ids.clone(), Arc::clone(&common.clock));
        recording::start(recorded, Arc::clone(&bus), ids, clock, &life);
        let mut stack = Self {
            settings,
            common,
            life,
            routers: BTreeMap::new(),
            addresses: BTreeMap::new(),
            encrypted: edge.as_ref().is_some_and(|edge| edge.tls.is_some()),
            admin: admin.as_ref().map(Listener::address),
            operators: Operators::default(),
            guests: Guests::default(),
            _locks: locks,
        };
        for &service in &plan.services {
            let (settings, common) = (&stack.settings, &stack.common);
            let mut operation = Operation {
                operators: &stack.operators,
                guests: &stack.guests,
                admin: &mut admin,
            };
            let bus = faults.bus(service, &bus);
            let built = wiring::build(
                service,
                settings,
                plan.parser.as_deref(),
                common,
                &bus,
                &stack.life,
                &mut operation,
            );
            // A service's way up is long, and its future as large.
            let built = Pools::noting(faults.building(service, built));
            let (built, pools) = Box::pin(built).await;
            pools.show(&stack.common.metrics.scope(service.name()));
            match built {
                Ok(router) => {
                    let router = faults.around(service, router, &stack.common.mesh);
                    stack.common.mesh.mount(service.name(), router.clone());
                    stack.routers.insert(service, router);
                }
                Err(error) => {
                    stack.stop().await;
                    return Err(error.into());
                }
            }
        }
        stack.serve(listeners, edge.as_ref());
        Ok(stack)
    }

    /// Serves what was built on its ports.
    fn serve(&mut self, listeners: Vec<(Service, Listener)>, edge: Option<&Edge>) {
        for (service, listener) in listeners {
            self.addresses.insert(service, listener.address());
            let Some(router) = self.routers.get(&service).cloned() else {
                continue;
            };
            match edge {
                Some(edge) if service == Service::Gateway => {
                    self.life.serve_edge(listener, router, edge.clone());
                }
                _ => self.life.serve(listener, router),
            }
        }
    }

    /// Makes the demo user and loads the bundled corpus on the first start.
    pub(crate) async fn seed(&self) -> Result<Option<Credentials>, StartError> {
        let stack = &self.settings.stack;
        if !stack.demo.enabled {
            return Ok(None);
        }
        let credentials = demo::seed(&self.common, &stack.demo.email, &stack.data_dir).await?;
        // Whoever has the key in the data directory runs this stack.
        if let Some(caller) = demo::operator(&self.common, &stack.data_dir).await {
            self.operators.name(caller.tenant);
            self.guests.are(caller);
        }
        Ok(credentials)
    }

    /// Where a service listens, if it does in this process.
    pub fn address(&self, service: Service) -> Option<SocketAddr> {
        self.addresses.get(&service).copied()
    }

    /// The URL of a service that listens in this process.
    pub fn url(&self, service: Service) -> Option<String> {
        let scheme = match service {
            Service::Gateway if self.encrypted => "https",
            _ => "http",
        };
        let address = self.address(service)?;
        Some(format!("{scheme}://{address}"))
    }

    /// Where operators look at the gateway, if it is in this process.
    pub const fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Whether telegram takes callers of this machine without a credential.
    pub fn welcomes_guests(&self) -> bool {
        self.settings.telegram.anonymous_loopback
            && self.settings.stack.host.is_loopback()
            && self.guests.are_welcome()
    }

    /// The router of a service of this process.
    pub fn router(&self, service: Service) -> Option<&Router> {
        self.routers.get(&service)
    }

    /// What the services share.
    pub const fn common(&self) -> &Common {
        &self.common
    }

    /// Tasks, stop signals and readiness.
    pub const fn life(&self) -> &Lifecycle {
        &self.life
    }

    /// The settings in force.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Stops softly, then hard, and frees everything.
    pub async fn stop(self) -> ShutdownReport {
        let report = self.life.shutdown(self.settings.stack.shutdown_grace).await;
        self.common.mesh.clear();
        report
    }
}

/// What the public port takes, if the gateway listens in this process.
fn edge(settings: &Settings, plan: &Plan, metrics: &Metrics) -> Result<Option<Edge>, StartError> {
    if !plan.listen || !plan.services.contains(&Service::Gateway) {
        return Ok(None);
    }
    touchstone_api_gateway::edge(&settings.gateway, metrics)
        .map(Some)
        .map_err(|reason| StartError::Tls {
            variable: if reason.is_of_key() {
                "TLS_KEY_FILE"
            } else {
                "TLS_CERT_FILE"
            },
            reason,
        })
}

async fn bind(settings: &Settings, plan: &Plan) -> Result<Vec<(Service, Listener)>, StartError> {
    let mut listeners = Vec::new();
    for &service in plan.services.iter().filter(|_| plan.listen) {
        let port = settings
            .stack
            .ports
            .get(service.name())
            .copied()
            .unwrap_or_default();
        let address = SocketAddr::new(settings.stack.host, port);
        listeners.push((service, Listener::bind(service.name(), address).await?));
    }
    Ok(listeners)
}

/// The gateway's port for operators. In development the stack goes on without it when somebody else has
/// it, e.g. another stack.
async fn bind_admin(settings: &Settings, plan: &Plan) -> Result<Option<Listener>, StartError> {
    if !plan.listen || !plan.services.contains(&Service::Gateway) {
        return Ok(None);
    }
    let stack = &settings.stack;
    let port = match stack.ports.get(Service::Gateway.name()) {
        Some(0) => 0,
        _ => stack.admin_port,
    };
    let address = SocketAddr::new(stack.admin_host, port);
    match Listener::bind(ADMIN, address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if stack.profile == Profile::Development => {
            tracing::warn!(error = %error, "going on without the port for operators");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn lock(settings: &Settings, plan: &Plan) -> Result<Vec<DirLock>, StartError> {
    let directory = &settings.stack.data_dir;
    let acquire = |service: &Service| DirLock::acquire(directory.join(LOCKS).join(service.name()));
    let shared: Vec<_> = settings
        .schemas(&plan.services)
        .iter()
        .map(|schema| schema.store.service)
        .collect();
    plan.services
        .iter()
        // What is in a database can be worked on by several processes.
        .filter(|service| !shared.contains(&service.name()))
        .map(|service| {
            acquire(service).map_err(|error| match error {
                DirLockError::Taken(_) => StartError::DataInUse(directory.clone()),
                error @ DirLockError::Io { .. } => StartError::Data(error),
            })
        })
        .collect()
}

/// Calls among services, protected as configured; no service is known yet.
fn mesh(
    settings: &Settings,
    service_key: &ServiceKey,
    clock: Arc<dyn Clock>,
    metrics: &Metrics,
) -> Mesh {
    let protection = settings.stack.mesh.protection();
    let mesh = Mesh::protected(service_key.clone(), clock, protection);
    mesh.show(metrics);
    mesh
}

fn service_key(secret: &Secret, plan: &Plan) -> Result<ServiceKey, StartError> {
    if let Some(key) = ServiceKey::new(secret.expose().as_bytes()) {
        return Ok(key);
    }
    if !plan.is_everything() {
        return Err(StartError::NoServiceKey);
    }
    ServiceKey::new(&random_bytes()).ok_or(StartError::NoServiceKey)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a key must come from the system's source"
)]
fn random_bytes() -> [u8; 32] {
    let mut rng: rand::rngs::StdRng = rand::make_rng();
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// Services of other processes are at their configured URL, else on their usual port here.
fn connect_others(settings: &Settings, plan: &Plan, mesh: &Mesh) {
    for service in Service::ALL
        .into_iter()
        .filter(|service| !plan.services.contains(service))
    {
        let name = service.name();
        let url = settings.stack.urls.get(name).cloned().unwrap_or_else(|| {
            let port = settings.stack.ports.get(name).copied().unwrap_or_default();
            format!("http://{}", SocketAddr::new(settings.stack.host, port))
        });
        // The configuration has been validated.
        if let Ok(address) = url.parse() {
            mesh.connect_to(name, address);
        }
    }
}
