//! The binary as a user runs it: a process of its own, over HTTP.

pub mod load;
pub mod start;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Services with a port.
const SERVICES: [&str; 8] = [
    "gateway",
    "auth",
    "document",
    "embedding",
    "retrieval",
    "generation",
    "model",
    "vector",
];

/// The stack's binary, `touchstone` beside this one unless named.
pub fn binary(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let binary = match named {
        Some(binary) => binary,
        None => std::env::current_exe()?.with_file_name("touchstone"),
    };
    anyhow::ensure!(
        binary.exists(),
        "`{}` is not there; run `cargo build --release` first",
        binary.display()
    );
    Ok(binary)
}

/// A running stack with its demo user's key.
pub struct Running {
    process: Child,
    http: reqwest::Client,
    gateway: String,
    key: String,
    folder: TempDir,
}

impl Running {
    /// Starts the binary on free ports in a temporary folder and waits for its banner.
    pub async fn start(binary: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(binary);
        command
            .current_dir(folder.path())
            .arg("--json")
            .args(["--set", "stack.log.filter=warn"]);
        for service in SERVICES {
            command.arg(format!("--{service}-port=0"));
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command.spawn().context("the binary does not start")?;
        let stdout = process.stdout.take().context("no standard output")?;
        let banner = BufReader::new(stdout).lines().next_line().await?;
        let banner: Value = serde_json::from_str(&banner.context("the stack prints no banner")?)?;
        let text = |pointer: &str| {
            let value = banner.pointer(pointer).and_then(Value::as_str);
            value
                .map(str::to_owned)
                .with_context(|| format!("no {pointer} in the banner"))
        };
        let (gateway, key) = (text("/urls/gateway")?, text("/demo/api_key")?);
        let http = reqwest::Client::builder().build()?;
        Ok(Self {
            process,
            http,
            gateway,
            key,
            folder,
        })
    }

    /// Sends a request as the demo user; anything but success is an error.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let request = self
            .http
            .request(method, format!("{}/api/v1{path}", self.gateway));
        let request = request.header("X-API-Key", &self.key);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await?;
        let status = response.status();
        let body = response.text().await?;
        anyhow::ensure!(status.is_success(), "{path} answered {status}: {body}");
        Ok(serde_json::from_str(&body)?)
    }

    /// Resident memory of the process in MiB.
    pub fn resident_mib(&self) -> anyhow::Result<f64> {
        let id = self.process.id().context("the stack has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = line
            .context("no VmRSS")?
            .trim()
            .trim_end_matches(" kB")
            .parse()?;
        Ok(kib / 1024.0)
    }

    /// Waits until no document is on its way.
    pub async fn settled(&self) -> anyhow::Result<()> {
        for status in ["queued", "parsed", "chunked", "embedded"] {
            let path = format!("/documents?status={status}&limit=1");
            while !self.send(Method::GET, &path, None).await?["items"]
                .as_array()
                .is_none_or(Vec::is_empty)
            {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
        Ok(())
    }

    /// Ends the stack.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.process.kill().await?;
        drop(self.folder);
        Ok(())
    }
}

/// The value below which the share `at` of the values lies.
pub fn percentile(values: &mut [f64], at: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * at).ceil() as usize;
    values
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}
