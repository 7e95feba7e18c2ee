//! The peers: built when they are first needed, skipped aloud when they cannot be.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::child::{Program, free_address};
use crate::machine::PROXY_CORE;
use crate::report::Report;

/// Sources of the peers.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");

/// A proxy that the gateway is measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// One worker, kept connections to the upstream.
    Nginx,
    /// Pingora's proxy with one thread and no filters.
    Pingora,
    /// Gin with `httputil.ReverseProxy` on one core.
    Gin,
    /// FastAPI with httpx under one uvicorn worker.
    FastApi,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Nginx, Self::Pingora, Self::Gin, Self::FastApi];

    /// Its name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Pingora => "pingora",
            Self::Gin => "gin",
            Self::FastApi => "fastapi",
        }
    }
}

/// Builds and starts peers.
#[derive(Debug)]
pub struct Peers {
    /// Where they are built; survives the run.
    builds: PathBuf,
}

impl Peers {
    /// Builds go below `builds`.
    pub const fn new(builds: PathBuf) -> Self {
        Self { builds }
    }

    /// Starts a peer in front of `upstream`; `None`, told in the report, when it cannot be had.
    pub async fn start(
        &self,
        peer: Peer,
        upstream: SocketAddr,
        folder: &Path,
        report: &mut Report,
    ) -> anyhow::Result<Option<Program>> {
        let prepared = std::fs::create_dir_all(&self.builds).map_err(Into::into);
        let prepared = prepared.and_then(|()| self.prepare(peer));
        let version = match prepared {
            Ok(version) => version,
            Err(error) => {
                report.skipped(1, peer.name(), &format!("{error:#}"));
                return Ok(None);
            }
        };
        report.version(peer.name(), version);
        let address = free_address()?;
        let command = self.command(peer, address, upstream, folder)?;
        Program::start(peer.name(), PROXY_CORE, &command, address, folder)
            .await
            .map(Some)
    }

    /// Builds what has to be built and tells the version.
    fn prepare(&self, peer: Peer) -> anyhow::Result<String> {
        let sources = Path::new(SOURCES).join(peer.name());
        match peer {
            Peer::Nginx => {
                let told = output(Command::new("nginx").arg("-v"))?;
                Ok(told
                    .rsplit('/')
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .to_owned())
            }
            Peer::Pingora => {
                output(
                    Command::new("cargo")
                        .args(["build", "--release", "--locked", "--quiet"])
                        .env("CARGO_TARGET_DIR", self.builds.join("pingora"))
                        .current_dir(&sources),
                )?;
                version_in(
                    &sources.join("Cargo.lock"),
                    "name = \"pingora-proxy\"",
                    "version = ",
                )
            }
            Peer::Gin => {
                let built = self.builds.join("gin");
                output(
                    Command::new("go")
                        .args(["build", "-o"])
                        .arg(&built)
                        .arg(".")
                        .current_dir(&sources),
                )?;
                let module = "github.com/gin-gonic/gin ";
                version_in(&sources.join("go.mod"), module, module)
            }
            Peer::FastApi => {
                let requirements = sources.join("requirements.txt");
                self.environment(&requirements)?;
                version_in(&requirements, "fastapi==", "fastapi==")
            }
        }
    }

    /// Makes the virtual environment, anew when the requirements have changed.
    fn environment(&self, requirements: &Path) -> anyhow::Result<()> {
        let folder = self.builds.join("fastapi");
        let (wanted, marker) = (
            std::fs::read_to_string(requirements)?,
            folder.join("installed.txt"),
        );
        if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        output(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&folder),
        )?;
        let pip = folder.join("bin/pip");
        output(
            Command::new(pip)
                .args(["install", "--quiet", "-r"])
                .arg(requirements),
        )?;
        Ok(std::fs::write(marker, wanted)?)
    }

    fn command(
        &self,
        peer: Peer,
        address: SocketAddr,
        upstream: SocketAddr,
        folder: &Path,
    ) -> anyhow::Result<Command> {
        let (listen, upstream) = (address.to_string(), upstream.to_string());
        Ok(match peer {
            Peer::Nginx => {
                let home = folder.join(format!("nginx-{}", address.port()));
                std::fs::create_dir_all(&home)?;
                let template =
                    std::fs::read_to_string(Path::new(SOURCES).join("nginx/nginx.conf"))?;
                let configuration = template
                    .replace("{listen}", &listen)
                    .replace("{upstream}", &upstream)
                    .replace("{home}", &home.display().to_string());
                let path = home.join("nginx.conf");
                std::fs::write(&path, configuration)?;
                let mut command = Command::new("nginx");
                command
                    .arg("-c")
                    .arg(path)
                    .arg("-p")
                    .arg(home)
                    .args(["-e", "stderr"]);
                command
            }
            Peer::Pingora => {
                let binary = self.builds.join("pingora/release/touchstone-bench-pingora");
                let mut command = Command::new(binary);
                command.args([listen, upstream]);
                command
            }
            Peer::Gin => {
                let mut command = Command::new(self.builds.join("gin"));
                command.args([listen, upstream]).env("GOMAXPROCS", "1");
                command
            }
            Peer::FastApi => {
                let mut command = Command::new(self.builds.join("fastapi/bin/uvicorn"));
                command
                    .args([
                        "proxy:app",
                        "--workers",
                        "1",
                        "--no-access-log",
                        "--log-level",
                    ])
                    .args(["warning", "--host", "127.0.0.1", "--port"])
                    .arg(address.port().to_string())
                    .arg("--app-dir")
                    .arg(Path::new(SOURCES).join("fastapi"))
                    .env("UPSTREAM", format!("http://{upstream}"))
                    .env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
        })
    }
}

/// Runs a command and returns what it says, on both streams.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("`{name}` is not installed"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let end: Vec<&str> = text.lines().rev().take(3).collect();
    anyhow::ensure!(
        output.status.success(),
        "`{name}` failed: {}",
        end.join("; ")
    );
    Ok(text)
}

/// The version that stands behind `prefix`, at or after the line that has `marker`.
fn version_in(file: &Path, marker: &str, prefix: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file)?;
    let found = text
        .lines()
        .skip_while(|line| !line.contains(marker))
        .find_map(|line| line.split_once(prefix));
    let (_, version) = found.with_context(|| format!("no version in {}", file.display()))?;
    Ok(version.trim_matches('"').trim_start_matches('v').to_owned())
}
