//! The binary as a user runs it: a process of its own, over HTTP.

pub mod load;
pub mod session;
pub mod start;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use touchstone_stack::Service;

pub use self::session::Session;

/// What every measured stack is told: no quotas, a free port for operators, few words.
pub const SETTINGS: [&str; 5] = [
    "gateway.quota.limits.plan=load",
    "gateway.quota.limits.anonymous=load",
    "gateway.quota.limits.address.per_second=0",
    "stack.admin_port=0",
    "stack.log.filter=warn",
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

/// A running stack with its demo user.
pub struct Running {
    process: Child,
    folder: TempDir,
    /// The demo user at its gateway.
    pub session: Session,
}

impl Running {
    /// Starts the binary on free ports in a temporary folder and waits for its banner.
    pub async fn start(binary: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(binary);
        command.current_dir(folder.path()).arg("--json");
        for setting in SETTINGS {
            command.args(["--set", setting]);
        }
        for service in Service::ALL {
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
        Ok(Self {
            process,
            folder,
            session: Session::new(gateway, ("X-API-Key", key))?,
        })
    }

    /// Where its gateway is.
    pub fn gateway(&self) -> &str {
        self.session.gateway()
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
