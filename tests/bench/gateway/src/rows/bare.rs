//! Rows 1 and 2: what a request costs, bare and with every policy.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{BARE_PATH, CALLERS, GUARDED_PATH, Policies, Rig};
use crate::child::Program;
use crate::load::Load;
use crate::peers::Peer;
use crate::report::Goal;
use crate::stats::Summary;

const WARM_UP: Duration = Duration::from_millis(400);
const BARE: &str = "gateway, bare";
const POLICIES: &str = "gateway, every policy";
const CACHE_TOO: &str = "gateway, every policy and the cache";
/// The cache decides on no request; what it costs is told beside the policies.
const NO_CACHE: &str = "gateway.cache.enabled=false";

struct Contestant {
    name: &'static str,
    program: Program,
    load: Load,
    cpu: Vec<f64>,
    rate: Vec<f64>,
    busy: Vec<f64>,
}

pub async fn run(rig: &mut Rig) -> anyhow::Result<()> {
    let upstream = rig.mock.plain;
    let bare = rig
        .gateway("gateway-bare", Policies::Bare, upstream, &[])
        .await?;
    let full = rig
        .gateway("gateway-full", Policies::Full, upstream, &[NO_CACHE])
        .await?;
    let all = rig
        .gateway("gateway-cache", Policies::Full, upstream, &[])
        .await?;
    let mut contestants = vec![
        Contestant::new(rig, BARE, bare, BARE_PATH)?,
        Contestant::new(rig, POLICIES, full, GUARDED_PATH)?,
        Contestant::new(rig, CACHE_TOO, all, GUARDED_PATH)?,
    ];
    for peer in Peer::ALL {
        if let Some(program) = rig.peer(peer, upstream).await? {
            contestants.push(Contestant::new(rig, peer.name(), program, BARE_PATH)?);
        }
    }
    let lasting = rig.lasting(Duration::from_secs(2), Duration::from_millis(600));
    for _ in 0..rig.rounds() {
        for contestant in &mut contestants {
            contestant.round(rig, lasting).await?;
        }
    }
    tell(rig, &contestants);
    Ok(())
}

impl Contestant {
    fn new(rig: &Rig, name: &'static str, program: Program, path: &str) -> anyhow::Result<Self> {
        let load = rig.kilobyte(program.address(), path)?;
        Ok(Self {
            name,
            program,
            load,
            cpu: Vec::new(),
            rate: Vec::new(),
            busy: Vec::new(),
        })
    }

    async fn round(&mut self, rig: &Rig, lasting: Duration) -> anyhow::Result<()> {
        let before = rig.mock.seen.plain.load(Ordering::Relaxed);
        let program = &self.program;
        let round = self
            .load
            .closed(CALLERS, WARM_UP, lasting, || program.cpu_time())
            .await?;
        let upstream = rig.mock.seen.plain.load(Ordering::Relaxed) - before;
        anyhow::ensure!(
            upstream >= round.answers,
            "{} gave {} answers, but only {upstream} came from the upstream",
            self.name,
            round.answers
        );
        self.cpu.push(round.cpu_micros());
        self.rate.push(round.rate());
        self.busy.push(round.busy() * 100.0);
        Ok(())
    }
}

fn tell(rig: &mut Rig, contestants: &[Contestant]) {
    let report = &mut rig.report;
    for one in contestants {
        let of = |what: &str| format!("{}: {what}", one.name);
        let cpu = Summary::of(&one.cpu);
        report.summary(
            1,
            &of("processor time of a request"),
            Goal::None,
            &cpu,
            " us",
        );
        report.summary(
            1,
            &of("requests a second"),
            Goal::None,
            &Summary::of(&one.rate),
            "",
        );
        report.summary(
            1,
            &of("share of its core"),
            Goal::None,
            &Summary::of(&one.busy),
            " %",
        );
    }
    let cpu_of = |name: &str| {
        let found = contestants.iter().find(|one| one.name == name);
        found.map(|one| Summary::of(&one.cpu))
    };
    let Some(bare) = cpu_of(BARE) else {
        return;
    };
    for (peer, goal) in [
        ("nginx", 1.5),
        ("pingora", 1.0),
        ("gin", 0.5),
        ("fastapi", 0.02),
    ] {
        if let Some(other) = cpu_of(peer) {
            let what = format!("processor time of a request, bare gateway to {peer}");
            report.ratio(1, &what, Goal::AtMost(goal), bare.over(&other));
        }
    }
    // What a saturated core serves is the inverse of what a request costs.
    let left = [
        (POLICIES, "every policy leaves", Goal::AtLeast(0.85)),
        (CACHE_TOO, "every policy and the cache leave", Goal::None),
    ];
    for (name, who, goal) in left {
        if let Some(full) = cpu_of(name) {
            let what = format!("rate that {who}, by processor time");
            report.ratio(2, &what, goal, bare.over(&full));
        }
    }
}
