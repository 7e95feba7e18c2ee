use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use touchstone_config::Loader;
use touchstone_stack::{Plan, Service, Settings, Stack};

use super::client::PATIENCE;

/// The binary that Cargo built for these tests.
pub const BINARY: &str = env!("CARGO_BIN_EXE_touchstone-under-test");
/// Another one for the processes, e.g. the release build for a long run.
const OTHER_BINARY: &str = "TOUCHSTONE_TEST_BINARY";
const SERVICE_KEY: &str = "a secret of the services of the end-to-end tests";

/// How the services are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All in this process, calling each other's routers.
    InProcess,
    /// A process per service, calling each other over HTTP.
    Processes,
}

/// A running stack in a temporary directory; dropping it ends its processes.
pub struct Deployment {
    pub gateway: String,
    stack: Option<Stack>,
    pub processes: BTreeMap<Service, Process>,
    ports: BTreeMap<Service, u16>,
    environment: Environment,
    folder: TempDir,
}

/// What processes are told, each what is for all and what is for it.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    pub all: Vec<(String, String)>,
    pub of: BTreeMap<Service, Vec<(String, String)>>,
}

/// A child process, killed when dropped.
pub struct Process(pub Child);

impl Deployment {
    pub async fn start(mode: Mode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        match mode {
            Mode::InProcess => Self::in_process(folder, |loader| loader).await,
            Mode::Processes => Self::on(Environment::default()).await,
        }
    }

    /// A process per service with this environment.
    pub async fn on(environment: Environment) -> Self {
        Self::at(free_ports(), environment).await
    }

    /// In one process, with more settings.
    pub async fn with(settings: impl FnOnce(Loader) -> Loader) -> Self {
        Self::in_process(tempfile::tempdir().unwrap(), settings).await
    }

    async fn in_process(folder: TempDir, edit: impl FnOnce(Loader) -> Loader) -> Self {
        let mut loader = Loader::new()
            .set("stack.data_dir", folder.path().display().to_string())
            .set("stack.demo.enabled", "false")
            // Journeys hurry; what quotas do to those who do has tests of its own.
            .set("gateway.quota.limits.plan", "load")
            .set("gateway.quota.limits.anonymous", "load");
        for service in Service::ALL {
            loader = loader.set(format!("stack.ports.{service}"), "0");
        }
        let settings = Settings::load(&edit(loader)).unwrap();
        let stack = Stack::start(
            settings,
            Plan {
                parser: Some(BINARY.into()),
                ..Plan::everything()
            },
        )
        .await
        .unwrap();
        let gateway = format!("http://{}", stack.address(Service::Gateway).unwrap());
        Self {
            gateway,
            stack: Some(stack),
            processes: BTreeMap::new(),
            ports: BTreeMap::new(),
            environment: Environment::default(),
            folder,
        }
    }

    /// A process per service on these ports.
    pub async fn at(ports: BTreeMap<Service, u16>, environment: Environment) -> Self {
        let mut deployment = Self {
            gateway: format!("http://127.0.0.1:{}", ports[&Service::Gateway]),
            stack: None,
            processes: BTreeMap::new(),
            ports,
            environment,
            folder: tempfile::tempdir().unwrap(),
        };
        for service in Service::ALL {
            deployment.spawn(service);
        }
        for service in Service::ALL {
            deployment.ready(service).await;
        }
        deployment
    }

    fn spawn(&mut self, service: Service) {
        let mut command = command(self.folder.path());
        command
            .arg("serve")
            .arg(service.name())
            .env("SERVICE_KEY", SERVICE_KEY)
            .args(["--set", "stack.admin_port=0"])
            .args(["--set", "gateway.quota.limits.plan=load"])
            .args(["--set", "gateway.quota.limits.anonymous=load"]);
        for (other, port) in &self.ports {
            command.arg(format!("--{other}-port={port}"));
        }
        let own = self.environment.of.get(&service).into_iter().flatten();
        for (name, value) in self.environment.all.iter().chain(own) {
            command.env(name, value);
        }
        self.processes.insert(service, Process::spawn(command));
    }

    /// Where a service listens.
    pub fn url(&self, service: Service) -> String {
        if let Some(stack) = &self.stack {
            return stack.url(service).unwrap();
        }
        format!("http://127.0.0.1:{}", self.ports[&service])
    }

    pub async fn ready(&self, service: Service) {
        ready(&self.url(service), service.name()).await;
    }

    /// SIGKILL for a service's process.
    pub async fn kill(&mut self, service: Service) {
        self.processes.remove(&service).unwrap().kill().await;
    }

    /// SIGSTOP for a service's process: its connections stay and it does nothing.
    pub async fn freeze(&self, service: Service) {
        self.signal(service, "-STOP").await;
    }

    /// SIGCONT after [`freeze`](Self::freeze).
    pub async fn thaw(&self, service: Service) {
        self.signal(service, "-CONT").await;
    }

    async fn signal(&self, service: Service, signal: &str) {
        let id = self.processes[&service].0.id().unwrap().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().await;
        assert!(sent.unwrap().success());
    }

    /// SIGTERM for a service's process; returns when it has gone by itself.
    pub async fn terminate(&mut self, service: Service) {
        self.signal(service, "-TERM").await;
        let mut process = self.processes.remove(&service).unwrap();
        let ended = tokio::time::timeout(PATIENCE, process.0.wait()).await;
        assert!(
            ended.unwrap().unwrap().success(),
            "{service} did not stop well"
        );
    }

    /// Starts a service again that was killed; returns when it is ready.
    pub async fn respawn(&mut self, service: Service) {
        self.spawn(service);
        self.ready(service).await;
    }

    /// Ends everything; in process, nothing may be left running.
    pub async fn stop(self) {
        if let Some(stack) = self.stack {
            let report = Box::pin(stack.stop()).await;
            assert!(report.stuck.is_empty(), "{report:?}");
        }
    }
}

impl Process {
    pub fn spawn(mut command: Command) -> Self {
        Self(command.kill_on_drop(true).spawn().unwrap())
    }

    /// `touchstone up` on free ports, without demo data; its gateway's URL.
    pub async fn stack(data: &Path) -> (Self, String) {
        Self::up(data, &["--set", "stack.demo.enabled=false"]).await
    }

    /// `touchstone up` on free ports; its gateway's URL.
    pub async fn demo_stack(data: &Path) -> (Self, String) {
        Self::up(data, &[]).await
    }

    /// The same, with faults that can be asked for with this key.
    pub async fn faulty_stack(data: &Path, key: &str) -> (Self, String) {
        let key = format!("stack.faults.admin_key={key}");
        Self::up(data, &["--set", &key]).await
    }

    async fn up(data: &Path, arguments: &[&str]) -> (Self, String) {
        let mut command = command(data);
        command.arg("--json").args(arguments);
        for service in Service::ALL {
            command.arg(format!("--{service}-port=0"));
        }
        let mut process = Self::spawn(command);
        let banner = process.line().await;
        let gateway = banner["urls"]["gateway"].as_str().unwrap().to_owned();
        (process, gateway)
    }

    /// The next line of standard output, as JSON.
    async fn line(&mut self) -> Value {
        let stdout = self.0.stdout.take().unwrap();
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line())
            .await
            .unwrap()
            .unwrap();
        serde_json::from_str(&line.unwrap()).unwrap()
    }

    /// SIGKILL, and wait until the process is gone.
    pub async fn kill(mut self) {
        self.0.kill().await.unwrap();
    }
}

fn command(data: &Path) -> Command {
    let other = touchstone_config::variable(OTHER_BINARY);
    let mut command = Command::new(other.as_deref().unwrap_or(BINARY));
    // A directory of its own, so that no configuration file of the developer is read.
    command
        .current_dir(data)
        .arg("--data-dir")
        .arg(data.join("data"));
    // `TOUCHSTONE_TEST_LOG=1 cargo test -- --nocapture` shows what the processes say.
    let logs = match touchstone_config::variable("TOUCHSTONE_TEST_LOG") {
        Some(_) => Stdio::inherit(),
        None => Stdio::null(),
    };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(logs);
    command.env_clear().env(
        "PATH",
        touchstone_config::variable("PATH").unwrap_or_default(),
    );
    command
}

/// A port per service, all different; they were free a moment ago.
pub fn free_ports() -> BTreeMap<Service, u16> {
    let held: Vec<_> = Service::ALL
        .into_iter()
        .map(|service| (service, TcpListener::bind("127.0.0.1:0").unwrap()))
        .collect();
    held.iter()
        .map(|(service, socket)| (*service, socket.local_addr().unwrap().port()))
        .collect()
}

async fn ready(url: &str, name: &str) {
    let http = reqwest::Client::builder()
        .timeout(PATIENCE)
        .build()
        .unwrap();
    let started = Instant::now();
    loop {
        let answer = http.get(format!("{url}/ready")).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{name} does not get ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
