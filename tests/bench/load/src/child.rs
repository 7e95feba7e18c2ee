//! This program in its other roles, as processes of their own: what they use is theirs alone.

use std::process::Stdio;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use touchstone_load::report::Report;

/// The server that does nothing.
#[derive(Debug)]
pub(crate) struct Server {
    _child: Child,
    pub url: String,
}

impl Server {
    pub async fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("no output of the server")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let address = line.context("the server ended")?;
        Ok(Self {
            _child: child,
            url: format!("http://{address}"),
        })
    }
}

/// A load on a path, made by a process of its own, and its report.
pub(crate) async fn generate(url: &str, path: &str, load: &str) -> anyhow::Result<Report> {
    let output = Command::new(std::env::current_exe()?)
        .args(["generate", url, path, load])
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await?;
    if !output.status.success() {
        bail!("the generator ended with {}", output.status);
    }
    serde_json::from_slice(&output.stdout).context("the generator told no report")
}

/// A program of this name, as far as it can be started.
pub(crate) async fn found(name: &str, given: Option<&String>) -> Option<String> {
    let program = given.cloned().unwrap_or_else(|| name.to_owned());
    let version = if name == "wrk" { "-v" } else { "--version" };
    let started = Command::new(&program)
        .arg(version)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    started.is_ok().then_some(program)
}
