//! The service as the benchmark starts it: in this process, or as one of its own.
//!
//! Whoever calls without a credential is let in, as `curl` is on a laptop. The bus is away, so that
//! what the service has to tell stays in its outbox: there it can be counted, and no other service
//! takes part in what is measured. Or it takes everything, and does nothing with it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use async_trait::async_trait;
use clap::Args;
use futures_util::future::pending;
use serde_json::{Value, json};
use touchstone_api::events::Event;
use touchstone_client::{AuthKeys, Common, Mesh, Recorder};
use touchstone_events::{BusState, Delivery, Error, EventBus, EventSource, Subscription};
use touchstone_identity::{AccessPolicy, Caller, CallerKind, RequestContext, ServiceKey, Verifier};
use touchstone_lifecycle::{Lifecycle, Listener};
use touchstone_telegram::store::{self, Store};
use touchstone_telegram::{Config, Deps, Guests};
use touchstone_telegram_simulator::{Scenario, Simulator};
use touchstone_telemetry::Metrics;
use touchstone_types::{IdSource, Role, SystemClock};

use crate::child::Program;

const SERVICE_SECRET: &[u8] = b"the benchmark's own secret of services";

/// Longest wait for anything that has to come.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// What the service's process is told.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Its session at the simulated data centre
    #[arg(long, env = "SESSION", hide_env_values = true)]
    pub session: String,
    /// Where it keeps what it knows
    #[arg(long)]
    pub folder: PathBuf,
    /// Calls per second
    #[arg(long)]
    pub rate: f64,
    /// Milliseconds between two looks at a channel without a hint
    #[arg(long)]
    pub poll: u64,
    /// The bus takes what it is given
    #[arg(long)]
    pub bus: bool,
}

/// A service that answers.
pub struct Served {
    pub address: SocketAddr,
    pub life: Lifecycle,
}

impl Options {
    fn config(&self) -> Config {
        let mut config: Config = touchstone_config::defaults();
        config.exports = self.folder.join("exports");
        config.store = store_uri(&self.folder).into();
        config.rate_limit = self.rate;
        config.sync_poll = Duration::from_millis(self.poll);
        config.request_timeout = Duration::from_mins(10);
        config
    }

    /// Starts the service in this process.
    pub async fn start(&self) -> anyhow::Result<Served> {
        let clock = Arc::new(SystemClock);
        let key = ServiceKey::new(SERVICE_SECRET).context("a short secret")?;
        let mesh = Mesh::new(key.clone(), clock.clone());
        let keys = Arc::new(AuthKeys::new(mesh.clone()));
        let verifier = Verifier::new(AccessPolicy::default(), clock.clone(), key, None, keys);
        let ids = IdSource::system();
        let common = Common {
            mesh,
            verifier: Arc::new(verifier),
            metrics: Metrics::new(),
            clock,
            ids: ids.clone(),
            recorder: Recorder::off(),
        };
        let config = self.config();
        let session = Some(self.session.clone());
        let mut deps = Deps::resolve(common, Arc::new(Bus { takes: self.bus }), session, &config);
        let guests = Guests::default();
        guests.are(Caller {
            tenant: ids.next(),
            user: ids.next(),
            role: Role::Admin,
            kind: CallerKind::User,
            context: RequestContext::background("bench"),
        });
        deps.guests = Some(guests);
        let life = Lifecycle::new();
        let listener = Listener::bind("telegram", SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.address();
        let router = Box::pin(touchstone_telegram::build(config, deps, &life)).await?;
        life.serve(listener, router);
        Ok(Served { address, life })
    }

    /// Starts the service as a process of its own; it and its address.
    pub async fn spawn(&self) -> anyhow::Result<(Program, String)> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("service")
            .arg("--folder")
            .arg(&self.folder)
            .args(["--rate", &self.rate.to_string()])
            .args(["--poll", &self.poll.to_string()])
            .args(self.bus.then_some("--bus"))
            .env("SESSION", &self.session);
        let mut program = Program::start("service", &command, &self.folder)?;
        let address = program.line(PATIENCE).await?;
        Ok((program, format!("http://{address}")))
    }
}

/// Serves in this process until it is ended; says where.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let served = options.start().await?;
    let mut out = std::io::stdout();
    std::io::Write::write_all(&mut out, format!("{}\n", served.address).as_bytes())?;
    pending().await
}

/// A data centre in this process.
pub async fn data_centre(scenario: Scenario, life: &Lifecycle) -> anyhow::Result<Simulator> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Ok(Simulator::start(any, scenario, Arc::new(SystemClock), life).await?)
}

fn store_uri(folder: &Path) -> String {
    format!("sqlite://{}/telegram.db", folder.display())
}

/// A service's store, opened beside it.
pub async fn store_of(folder: &Path) -> anyhow::Result<Arc<dyn Store>> {
    let config: Config = touchstone_config::defaults();
    let uri = store_uri(folder).into();
    let opened = store::open(&uri, &config.postgres);
    Ok(Box::pin(opened).await?)
}

/// A caller of a service.
#[derive(Clone, Debug)]
pub struct Client {
    pub http: reqwest::Client,
    pub base: String,
}

impl Client {
    pub fn new(base: impl Into<String>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(PATIENCE * 5).build()?;
        let base = base.into();
        Ok(Self { http, base })
    }

    /// What `GET` answers, status and body.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, Value)> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await.unwrap_or_default()))
    }

    /// What `POST` answers, status and body.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let request = self.http.post(format!("{}{path}", self.base)).json(body);
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await.unwrap_or_default()))
    }

    /// Joins a channel, tried as often as it takes: faults strike there, too. Its id.
    pub async fn join(&self, name: &str) -> anyhow::Result<i64> {
        let body = json!({ "channel_username": name });
        let joined = self.post_until_done("/channels/join", &body).await?;
        joined["data"]["id"].as_i64().context("no id")
    }

    /// Joins a channel and follows it; its id.
    pub async fn follow(&self, name: &str) -> anyhow::Result<i64> {
        let id = self.join(name).await?;
        let path = format!("/channels/{id}/sync");
        self.post_until_done(&path, &json!({})).await?;
        Ok(id)
    }

    async fn post_until_done(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let started = Instant::now();
        loop {
            let (status, answer) = self.post(path, body).await?;
            if status == 200 {
                return Ok(answer);
            }
            let late = started.elapsed() > PATIENCE;
            anyhow::ensure!(!late, "{path}: {status} {answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the account is logged in.
    pub async fn authorized(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        while self.get("/health").await?.1["details"]["telegram_authorized"] != true {
            anyhow::ensure!(started.elapsed() < PATIENCE, "never authorized");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

/// A bus that nobody reads, or reaches.
#[derive(Debug)]
struct Bus {
    takes: bool,
}

/// Nothing ever comes.
#[derive(Debug)]
struct Nothing;

#[async_trait]
impl EventSource for Nothing {
    async fn next(&mut self) -> Result<Delivery, Error> {
        pending().await
    }
}

#[async_trait]
impl EventBus for Bus {
    async fn publish(&self, _: Vec<Event>) -> Result<(), Error> {
        if self.takes {
            return Ok(());
        }
        Err(Error::Unavailable("the benchmark has no bus".into()))
    }

    async fn subscribe(&self, _: &str, _: &str) -> Result<Subscription, Error> {
        Ok(Subscription::new(Nothing))
    }

    /// A cluster keeps what it took; a bus in the process would forget it.
    fn state(&self) -> BusState {
        BusState {
            connected: Some(self.takes),
            ..BusState::default()
        }
    }
}
