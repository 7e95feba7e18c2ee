//! Programs under test: ended with this program however it ends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

/// A running program. Dropping it ends it; the kernel ends it when this program is gone.
#[derive(Debug)]
pub struct Program {
    process: Child,
    out: PathBuf,
    log: PathBuf,
}

impl Program {
    /// Starts a program, what it says goes to files in `folder`. Call it on a thread that lasts:
    /// the kernel's signal comes when the starting thread ends.
    pub fn start(name: &str, command: &Command, folder: &Path) -> anyhow::Result<Self> {
        let out = folder.join(format!("{name}.out"));
        let log = folder.join(format!("{name}.log"));
        let mut bound = Command::new("setpriv");
        bound
            .args(["--pdeathsig", "KILL"])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::options().create(true).append(true).open(&log)?);
        if let Some(folder) = command.get_current_dir() {
            bound.current_dir(folder);
        }
        for (variable, value) in command.get_envs() {
            if let Some(value) = value {
                bound.env(variable, value);
            }
        }
        let process = bound.spawn().context("`setpriv` of util-linux is needed")?;
        Ok(Self { process, out, log })
    }

    /// The first whole line that it writes.
    pub async fn line(&mut self, patience: Duration) -> anyhow::Result<String> {
        let start = Instant::now();
        loop {
            let text = std::fs::read_to_string(&self.out)?;
            if let Some((line, _)) = text.split_once('\n') {
                return Ok(line.to_owned());
            }
            let ended = self.process.try_wait()?;
            let late = start.elapsed() > patience;
            anyhow::ensure!(ended.is_none() && !late, "no word: {}", self.last_words());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// The end of what it said.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already, or it ends now.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Resident memory of a process in MiB; 0 when it is gone.
pub fn resident_mib(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or_default() / 1_024.0
}
