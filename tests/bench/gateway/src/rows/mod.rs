//! The rows of the table, and what they share.

mod bare;
mod coalesce;
mod latency;
mod quotas;
mod redis;
mod streams;
mod upstream;
mod websockets;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tempfile::TempDir;
use touchstone_types::IdSource;

use crate::Args;
use crate::child::{Program, free_address};
use crate::load::{Load, get};
use crate::mock::{self, Mock};
use crate::peers::{Peer, Peers};
use crate::report::Report;
use crate::{gateway, machine};

/// Descriptors that the largest row needs on one side.
pub const DESCRIPTORS: u64 = 16_384;

/// A path that needs no credential, and the same one for every contestant.
const BARE_PATH: &str = "/.well-known/jwks.json";
/// A path that the whole stack of policies guards.
const GUARDED_PATH: &str = "/documents/00000000-0000-7000-8000-000000000000";

/// Callers of the cheap kilobyte: one for each connection.
const CALLERS: usize = 64;

/// What every row needs.
#[derive(Debug)]
pub struct Rig {
    args: Args,
    mock: Mock,
    peers: Peers,
    ids: IdSource,
    folder: TempDir,
    report: Report,
    /// Streams that were opened so far.
    streams: u64,
}

/// The policies of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policies {
    /// What can be switched off is off.
    Bare,
    /// Everything, with limits that this load does not reach.
    Full,
}

impl Policies {
    /// The configuration that makes them.
    const fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Bare => &[
                "gateway.cache.enabled=false",
                "gateway.upstreams.adaptive=0",
                "gateway.upstreams.attempts=1",
                "gateway.quota.limits.address.per_second=0",
                "gateway.quota.limits.address.burst=0",
                "gateway.quota.limits.plans.anonymous.minute=0",
                "gateway.quota.limits.plans.anonymous.hour=0",
                "gateway.quota.limits.plans.anonymous.day=0",
            ],
            Self::Full => &[
                "gateway.quota.limits.plan=load",
                "gateway.quota.limits.address.per_second=1000000",
                "gateway.quota.limits.address.burst=1000000",
            ],
        }
    }
}

/// Runs what was asked for, prints the table and writes the file.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let mut rig = Rig::new(args)?;
    let start = Instant::now();
    let wants = |row: u8| args.only.wants(&row.to_string());
    if wants(1) || wants(2) {
        bare::run(&mut rig).await.context("rows 1 and 2")?;
    }
    if wants(3) {
        latency::run(&mut rig).await.context("row 3")?;
    }
    if wants(4) {
        quotas::run(&mut rig).await.context("row 4")?;
    }
    if wants(5) {
        redis::run(&mut rig).await.context("row 5")?;
    }
    if wants(6) {
        upstream::run(&mut rig).await.context("row 6")?;
    }
    if wants(7) {
        streams::run(&mut rig).await.context("row 7")?;
        websockets::run(&mut rig).await.context("row 7")?;
    }
    if wants(8) {
        coalesce::run(&mut rig).await.context("row 8")?;
    }
    rig.report.print();
    rig.report.write(&args.json)?;
    eprintln!(
        "{} s; every round is in {}",
        start.elapsed().as_secs(),
        args.json.display()
    );
    Ok(())
}

impl Rig {
    fn new(args: &Args) -> anyhow::Result<Self> {
        let executable = std::env::current_exe()?;
        let target = executable
            .parent()
            .and_then(Path::parent)
            .context("no target folder")?;
        Ok(Self {
            args: args.clone(),
            mock: Mock::start()?,
            peers: Peers::new(target.join("bench-peers")),
            ids: IdSource::system(),
            folder: tempfile::tempdir()?,
            report: Report::new(machine::description()),
            streams: 0,
        })
    }

    /// The first of some ids that no stream had before.
    fn first_id(&mut self) -> u64 {
        self.streams += 1_000_000;
        self.streams
    }

    fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The longer time, or the shorter one of a quick run.
    fn lasting(&self, long: Duration, quick: Duration) -> Duration {
        if self.args.quick { quick } else { long }
    }

    fn rounds(&self) -> usize {
        if self.args.quick { 2 } else { 5 }
    }

    async fn gateway(
        &self,
        name: &'static str,
        policies: Policies,
        upstream: SocketAddr,
        more: &[&str],
    ) -> anyhow::Result<Program> {
        let settings = policies.settings().iter().chain(more);
        let mut settings: Vec<String> = settings.map(|&setting| setting.to_owned()).collect();
        settings.extend(self.args.set.iter().cloned());
        let under = self.args.under.as_deref();
        gateway::start(name, upstream, &settings, under, &self.folder()).await
    }

    async fn peer(&mut self, peer: Peer, upstream: SocketAddr) -> anyhow::Result<Option<Program>> {
        let named = &self.args.peer;
        if !named.is_empty() && !named.iter().any(|name| name == peer.name()) {
            return Ok(None);
        }
        let folder = self.folder();
        self.peers
            .start(peer, upstream, &folder, &mut self.report)
            .await
    }

    /// A Redis beside the load; `None`, told in the report, when there is none.
    async fn redis(&mut self, row: u8) -> anyhow::Result<Option<Program>> {
        if let Err(error) = Command::new("redis-server").arg("--version").output() {
            self.report
                .skipped(row, "with Redis", &format!("`redis-server`: {error}"));
            return Ok(None);
        }
        self.redis_at(free_address()?).await.map(Some)
    }

    async fn redis_at(&self, address: SocketAddr) -> anyhow::Result<Program> {
        let mut command = Command::new("redis-server");
        let port = address.port().to_string();
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port,
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.arg("--dir").arg(self.folder.path());
        Program::start(
            "redis",
            machine::LOAD_CORE,
            &command,
            address,
            self.folder.path(),
        )
        .await
    }

    /// The load of the cheap kilobyte on `path`.
    fn kilobyte(&self, address: SocketAddr, path: &str) -> anyhow::Result<Load> {
        let bearer = gateway::bearer(&self.ids)?;
        let guarded = [("authorization", bearer.as_str())];
        let headers: &[_] = if path == GUARDED_PATH { &guarded } else { &[] };
        let request = |number: usize| get(&format!("{path}?caller={number}"), headers);
        Ok(Load {
            address,
            requests: (0..CALLERS).map(request).collect(),
            expected: Arc::from(mock::plain_body()),
        })
    }
}
