//! A process per service on real servers, all on this machine.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use touchstone_stack::Service;
use touchstone_test_services::{Exclusive, Kind};

use crate::system::{SETTINGS, Session, session};

/// A thousand users who do not pause wait for their turn; by default 256 would, for 50 ms. And the
/// limits of calls do not adapt: where all share two processors, each service seems slow because of the
/// others, and the one whose limit fell first would make all users wait.
const QUEUES: [&str; 3] = [
    "gateway.upstreams.queue=1024",
    "gateway.upstreams.wait=2s",
    "gateway.upstreams.adaptive=0",
];
/// Longest wait for a service to get ready.
const PATIENCE: Duration = Duration::from_mins(1);
/// Longest wait for the metrics of a service.
const METRICS: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);
const SERVICE_KEY: &str = "a secret of the services of the benchmark";

/// The servers, which wait for the disk as they do by default.
#[derive(Debug)]
pub struct Servers {
    pub postgres: Exclusive,
    pub redis: Exclusive,
    pub kafka: Exclusive,
    /// Without, the vector service has its own index.
    pub qdrant: Option<Exclusive>,
}

impl Servers {
    /// `None` after a line on standard error if one is missing.
    pub async fn start() -> Option<Self> {
        Some(Self {
            postgres: Exclusive::postgres().await?,
            redis: Exclusive::redis().await?,
            kafka: Exclusive::kafka().await?,
            qdrant: None,
        })
    }

    pub fn with(self, qdrant: Exclusive) -> Self {
        Self {
            qdrant: Some(qdrant),
            ..self
        }
    }

    /// With Qdrant where there is one.
    pub async fn with_qdrant_if_there(self) -> Self {
        match Exclusive::start(Kind::Qdrant).await {
            Some(qdrant) => self.with(qdrant),
            None => self,
        }
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let brokers = self.kafka.url().trim_start_matches("kafka://");
        let mut all = vec![
            ("SERVICE_KEY", SERVICE_KEY.to_owned()),
            ("DATABASE_URL", self.postgres.url().to_owned()),
            ("REDIS_URL", self.redis.url().to_owned()),
            ("KAFKA_BROKERS", brokers.to_owned()),
        ];
        if let Some(qdrant) = &self.qdrant {
            let url = qdrant.url().replacen("http", "qdrant", 1);
            all.push(("QDRANT_URL", url));
        }
        all
    }
}

/// The processes; they end when dropped.
pub struct Deployment {
    binary: PathBuf,
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
    ports: BTreeMap<Service, u16>,
    processes: BTreeMap<Service, Child>,
    /// Where operators ask the gateway.
    admin: u16,
    /// A user of its gateway.
    pub user: Session,
}

impl Deployment {
    /// Starts every service and waits until all are ready.
    pub async fn start(binary: &Path, servers: &Servers) -> anyhow::Result<Self> {
        // All are held before any is let go, so that no port comes twice.
        let held: Vec<_> = Service::ALL
            .into_iter()
            .map(|service| Ok((service, TcpListener::bind("127.0.0.1:0")?)))
            .collect::<anyhow::Result<_>>()?;
        let ports: BTreeMap<_, _> = held
            .iter()
            .map(|(service, socket)| Ok((*service, socket.local_addr()?.port())))
            .collect::<anyhow::Result<_>>()?;
        let operators = TcpListener::bind("127.0.0.1:0")?;
        let admin = operators.local_addr()?.port();
        drop((held, operators));
        let gateway = format!("http://127.0.0.1:{}", ports[&Service::Gateway]);
        let mut deployment = Self {
            binary: binary.to_owned(),
            folder: tempfile::tempdir()?,
            environment: servers.environment(),
            ports,
            processes: BTreeMap::new(),
            admin,
            user: Session::new(gateway.clone(), ("X-API-Key", String::new()))?,
        };
        for service in Service::ALL {
            deployment.spawn(service)?;
        }
        for service in Service::ALL {
            deployment.ready(service).await?;
        }
        deployment.user = register(&gateway).await?;
        Ok(deployment)
    }

    /// Tells the processes that start from now on.
    pub fn set(&mut self, name: &'static str, value: String) {
        self.environment.push((name, value));
    }

    /// Starts a service's process and waits until it is ready.
    pub async fn start_again(&mut self, service: Service) -> anyhow::Result<()> {
        self.spawn(service)?;
        self.ready(service).await
    }

    /// Starts a service's process.
    pub fn spawn(&mut self, service: Service) -> anyhow::Result<()> {
        // Whoever measures comes first on a machine that both share.
        let mut command = Command::new("nice");
        command
            .args(["-n", "5"])
            .arg(&self.binary)
            .current_dir(self.folder.path())
            .args(["serve", service.name()])
            .arg("--data-dir")
            .arg(self.folder.path().join("data"));
        for setting in SETTINGS.iter().chain(&QUEUES) {
            command.args(["--set", setting]);
        }
        if service == Service::Gateway {
            let admin = format!("stack.admin_port={}", self.admin);
            command.args(["--set", &admin]);
        }
        for (other, port) in &self.ports {
            command.arg(format!("--{other}-port={port}"));
        }
        command
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let child = command.spawn().context("the binary does not start")?;
        self.processes.insert(service, child);
        Ok(())
    }

    async fn ready(&self, service: Service) -> anyhow::Result<()> {
        let url = format!("http://127.0.0.1:{}/ready", self.ports[&service]);
        let http = reqwest::Client::builder().timeout(PATIENCE).build()?;
        let started = Instant::now();
        loop {
            let answer = http.get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let waited = started.elapsed() < PATIENCE;
            anyhow::ensure!(waited, "{service} does not get ready");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What the gateway tells operators of itself.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        self.metrics_of(Service::Gateway).await
    }

    /// What a service tells operators of itself; the gateway tells it at a port of theirs.
    pub async fn metrics_of(&self, service: Service) -> anyhow::Result<String> {
        let port = match service {
            Service::Gateway => self.admin,
            other => self.ports[&other],
        };
        let url = format!("http://127.0.0.1:{port}/metrics");
        let http = reqwest::Client::builder().timeout(METRICS).build()?;
        let answer = http.get(url).send().await?.error_for_status()?;
        Ok(answer.text().await?)
    }

    /// Sends a signal to a service's process, e.g. `-STOP`.
    pub async fn signal(&self, service: Service, signal: &str) -> anyhow::Result<()> {
        let process = self.processes.get(&service).and_then(Child::id);
        let id = process.with_context(|| format!("{service} does not run"))?;
        let sent = Command::new("kill")
            .arg(signal)
            .arg(id.to_string())
            .status()
            .await?;
        anyhow::ensure!(sent.success(), "{service} cannot be sent {signal}");
        Ok(())
    }

    /// SIGKILL for a service's process.
    pub async fn kill(&mut self, service: Service) -> anyhow::Result<()> {
        if let Some(mut process) = self.processes.remove(&service) {
            process.kill().await?;
        }
        Ok(())
    }
}

/// A new tenant with one user.
pub async fn register(gateway: &str) -> anyhow::Result<Session> {
    let account = json!({"email": "bench@example.org", "password": "correct horse battery"});
    let url = format!("{gateway}/api/v1/auth/register");
    let http = reqwest::Client::builder().build()?;
    let answer = http.post(&url).json(&account).send().await?;
    let tokens = session::told(&url, answer).await?;
    let token = tokens["access_token"].as_str().context("no token")?;
    // A token runs out within minutes, a key does not.
    let url = format!("{gateway}/api/v1/auth/api-keys");
    let named = http.post(&url).bearer_auth(token);
    let made = named.json(&json!({"name": "bench"})).send().await?;
    let made = session::told(&url, made).await?;
    let key = made["key"].as_str().context("no key")?;
    Session::new(gateway.to_owned(), ("X-API-Key", key.to_owned()))
}
