//! The gateway as a process of its own, with the services at the mock.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use tokio::runtime::{Builder, Runtime};
use touchstone_api_gateway::{Config, Deps};
use touchstone_client::{AuthKeys, Common, Mesh};
use touchstone_config::Loader;
use touchstone_identity::{AccessClaims, AccessPolicy, ServiceKey, Signer, TokenType, Verifier};
use touchstone_lifecycle::{Lifecycle, Listener};
use touchstone_telemetry::Metrics;
use touchstone_types::{Clock, IdSource, Role, SystemClock};

use crate::child::{Program, free_address};
use crate::machine::PROXY_CORE;

/// Services that the gateway fronts.
const SERVICES: [&str; 8] = [
    "auth",
    "document",
    "embedding",
    "retrieval",
    "generation",
    "model",
    "vector",
    "telegram",
];
/// Signs the tokens of the load; good for this machine and this run only.
const TOKEN_SECRET: &[u8] = b"the benchmark's own secret of its tokens";
const SERVICE_SECRET: &[u8] = b"the benchmark's own secret of services";
/// Longer than any run.
const TOKEN_SECONDS: i64 = 3600;

/// What the gateway's process is told.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// Where every service is
    #[arg(long)]
    upstream: SocketAddr,
    /// One key of the configuration, e.g. `gateway.docs=false`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Workers of the runtime [default: as `touchstone` chooses]
    #[arg(long)]
    workers: Option<usize>,
}

impl Options {
    /// The runtime of the `touchstone` binary: one thread for everything on one core.
    pub fn runtime(&self) -> std::io::Result<Runtime> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut builder = match self.workers {
            None if cores == 1 => Builder::new_current_thread(),
            workers => {
                let mut builder = Builder::new_multi_thread();
                builder.worker_threads(workers.unwrap_or(cores));
                builder
            }
        };
        builder.enable_all().build()
    }
}

/// Starts a gateway in front of `upstream`.
pub async fn start(
    name: &'static str,
    upstream: SocketAddr,
    settings: &[String],
    under: Option<&str>,
    folder: &Path,
) -> anyhow::Result<Program> {
    let address = free_address()?;
    let own = std::env::current_exe()?;
    let mut command = match under.map(str::split_whitespace) {
        Some(mut words) => {
            let mut command = Command::new(words.next().context("an empty command")?);
            command.args(words).arg(own);
            command
        }
        None => Command::new(own),
    };
    command.args(["gateway", "--listen", &address.to_string()]);
    command.args(["--upstream", &upstream.to_string()]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    Program::start(name, PROXY_CORE, &command, address, folder).await
}

/// The value of `Authorization` of a new user.
pub fn bearer(ids: &IdSource) -> anyhow::Result<String> {
    let now = SystemClock.now().timestamp();
    let policy = AccessPolicy::default();
    let claims = AccessClaims {
        iss: policy.issuer,
        aud: policy.audience,
        sub: ids.next(),
        tenant: ids.next(),
        role: Role::Admin,
        typ: TokenType::Access,
        iat: now,
        nbf: now,
        exp: now + TOKEN_SECONDS,
        jti: "bench".into(),
        fam: ids.next(),
    };
    Ok(format!(
        "Bearer {}",
        Signer::shared_secret(TOKEN_SECRET).sign(&claims)?
    ))
}

/// Runs the gateway in this process until it is ended.
pub async fn run(role: &Options) -> anyhow::Result<()> {
    let mut loader = Loader::new();
    for pair in &role.set {
        let (key, value) = pair.split_once('=').context("write KEY=VALUE")?;
        loader = loader.set(key, value);
    }
    let config: Config = loader.section()?;
    let clock = Arc::new(SystemClock);
    let service_key = ServiceKey::new(SERVICE_SECRET).context("a short secret")?;
    let mesh = Mesh::new(service_key.clone(), clock.clone());
    for service in SERVICES {
        mesh.connect(service, format!("http://{}", role.upstream).parse()?);
    }
    let keys = Arc::new(AuthKeys::new(mesh.clone()));
    let policy = AccessPolicy::default();
    let verifier = Verifier::new(policy, clock.clone(), service_key, Some(TOKEN_SECRET), keys);
    let ids = IdSource::system();
    let common = Common {
        mesh,
        verifier: Arc::new(verifier),
        metrics: Metrics::new(),
        clock,
        ids,
        recorder: touchstone_client::Recorder::off(),
    };
    let life = Lifecycle::new();
    let listener = Listener::bind("gateway", role.listen).await?;
    let edge = touchstone_api_gateway::edge(&config, &common.metrics)?;
    let deps = Deps::resolve(common, &config);
    let router = touchstone_api_gateway::build(config, deps, &life).await?;
    life.serve_edge(listener, router, edge);
    std::future::pending().await
}
