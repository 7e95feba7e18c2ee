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
    _folder: TempDir,
}

/// A child process, killed when dropped.
pub struct Process(pub Child);

impl Deployment {
    pub async fn start(mode: Mode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        match mode {
            Mode::InProcess => Self::in_process(folder).await,
            Mode::Processes => Self::processes(folder).await,
        }
    }

    async fn in_process(folder: TempDir) -> Self {
        let mut loader = Loader::new()
            .set("stack.data_dir", folder.path().display().to_string())
            .set("stack.demo.enabled", "false");
        for service in Service::ALL {
            loader = loader.set(format!("stack.ports.{service}"), "0");
        }
        let settings = Settings::load(&loader).unwrap();
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
            _folder: folder,
        }
    }

    async fn processes(folder: TempDir) -> Self {
        let ports = free_ports();
        let mut processes = BTreeMap::new();
        for service in Service::ALL {
            let mut command = command(folder.path());
            command
                .arg("serve")
                .arg(service.name())
                .env("SERVICE_KEY", SERVICE_KEY);
            for (other, port) in &ports {
                command.arg(format!("--{other}-port={port}"));
            }
            processes.insert(service, Process::spawn(command));
        }
        for (service, port) in &ports {
            ready(&format!("http://127.0.0.1:{port}"), service.name()).await;
        }
        let gateway = format!("http://127.0.0.1:{}", ports[&Service::Gateway]);
        Self {
            gateway,
            stack: None,
            processes,
            _folder: folder,
        }
    }

    /// Ends everything; in process, nothing may be left running.
    pub async fn stop(self) {
        if let Some(stack) = self.stack {
            let report = stack.stop().await;
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
    let mut command = Command::new(BINARY);
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
fn free_ports() -> BTreeMap<Service, u16> {
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
