//! Programs under test: bound to a core, ended with this program however it ends.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::machine;

/// Longest time to the first connection.
const START: Duration = Duration::from_secs(20);
/// Time to end politely.
const GRACE: Duration = Duration::from_secs(3);

/// A running program. Dropping it ends it; the kernel ends it when this program is gone.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    process: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Program {
    /// Starts `command` on `core` and waits until it listens on `address`. Must be called on the main
    /// thread: the kernel's signal comes when the starting thread ends.
    pub async fn start(
        name: &'static str,
        core: usize,
        command: &Command,
        address: SocketAddr,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}-{}.log", address.port()));
        let (out, errors) = (
            File::create(&log)?,
            File::options().append(true).open(&log)?,
        );
        let mut bound = Command::new("setpriv");
        bound
            .args(["--pdeathsig", "TERM", "taskset", "-c", &core.to_string()])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors);
        for (variable, value) in command.get_envs() {
            if let Some(value) = value {
                bound.env(variable, value);
            }
        }
        let process = bound
            .spawn()
            .context("`setpriv` and `taskset` of util-linux are needed")?;
        let mut program = Self {
            name,
            process,
            address,
            log,
        };
        program.listens().await?;
        Ok(program)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Processor time so far, children included.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        machine::cpu_time(self.process.id())
    }

    /// Resident memory, children included.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        machine::resident_bytes(self.process.id())
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    async fn listens(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            if tokio::net::TcpStream::connect(self.address).await.is_ok() {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                anyhow::bail!("{} ended with {status}: {}", self.name, self.last_words());
            }
            anyhow::ensure!(
                start.elapsed() < START,
                "{} does not listen on {}: {}",
                self.name,
                self.address,
                self.last_words()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(Some(_))) {
            return;
        }
        // Politely first: a master that is killed leaves its workers behind.
        let id = self.process.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status();
        let start = Instant::now();
        while asked.is_ok() && start.elapsed() < GRACE {
            if matches!(self.process.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address that nobody listens on.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
