//! Whoever adds up what shards tell, wherever they are.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::run::Message;
use crate::machine::ThreadUsage;
use crate::measure::{ErrorClass, Second, Series};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// At its end.
    Complete,
    /// Somebody stopped it.
    Stopped,
    /// The target accepts no connections any more.
    TargetLost,
}

/// What is told once a second.
#[derive(Debug)]
pub struct Progress<'a> {
    /// Since the begin.
    pub elapsed: Duration,
    /// Number of the phase.
    pub phase: usize,
    /// The second that has ended.
    pub second: &'a Second,
    /// All so far.
    pub series: &'a Series,
}

/// What all shards told.
#[derive(Debug)]
pub struct Collected {
    /// What was measured.
    pub series: Series,
    /// How it ended.
    pub ended: Ended,
    /// From the first request to the last.
    pub elapsed: Duration,
    /// How long each phase took.
    pub phase_seconds: Vec<f64>,
    /// What the threads used.
    pub threads: Vec<ThreadUsage>,
}

/// Seconds without any success and with failing connections after which a target counts as lost.
const LOST_AFTER: u64 = 10;

/// Adds up what `shards` shards send, until all senders are gone. A target that is lost cancels `halt`.
pub async fn collect(
    mut receiver: mpsc::UnboundedReceiver<Message>,
    shards: u64,
    begin: Instant,
    stop: &CancellationToken,
    halt: &CancellationToken,
    mut progress: impl FnMut(Progress<'_>),
) -> Collected {
    let mut series = Series::default();
    let mut threads = Vec::new();
    let mut phases = Phases::default();
    let mut expected = shards;
    let mut complete = 0;
    let mut lost_for = 0;
    let mut ended = Ended::Complete;
    // How many shards have told a second; what is nearer may come before what is further.
    let mut told: BTreeMap<u64, u64> = BTreeMap::new();
    while let Some(message) = receiver.recv().await {
        match message {
            Message::Phase(number, at) => phases.begun(number, at),
            Message::Gone(shards) => expected = expected.saturating_sub(shards),
            Message::Ended(usage) => threads.push(usage),
            Message::Second(at, part) => {
                series.absorb(at, &part);
                let shards = told.entry(at).or_default();
                *shards += 1;
                if *shards < expected || at < complete {
                    continue;
                }
                complete = at + 1;
                told = told.split_off(&complete);
                let Some(second) = series.second(at) else {
                    continue;
                };
                lost_for = if is_lost(second) { lost_for + 1 } else { 0 };
                if lost_for >= LOST_AFTER {
                    ended = Ended::TargetLost;
                    halt.cancel();
                }
                progress(Progress {
                    elapsed: begin.elapsed(),
                    phase: phases.now(),
                    second,
                    series: &series,
                });
            }
        }
    }
    if stop.is_cancelled() && ended == Ended::Complete {
        ended = Ended::Stopped;
    }
    Collected {
        series,
        ended,
        phase_seconds: phases.lasted(begin.elapsed().as_secs_f64()),
        elapsed: begin.elapsed(),
        threads,
    }
}

/// When each phase began on the last shard that did.
#[derive(Debug, Default)]
struct Phases(Vec<f64>);

impl Phases {
    fn begun(&mut self, number: usize, at: f64) {
        if self.0.len() <= number {
            self.0.resize(number + 1, at);
        }
        self.0[number] = self.0[number].max(at);
    }

    const fn now(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    fn lasted(&self, end: f64) -> Vec<f64> {
        let mut begun = self.0.clone();
        begun.push(end);
        begun.windows(2).map(|two| two[1] - two[0]).collect()
    }
}

fn is_lost(second: &Second) -> bool {
    let failed = [ErrorClass::Connect, ErrorClass::Broken, ErrorClass::Timeout]
        .iter()
        .map(|class| second.errors.of(*class))
        .sum::<u64>();
    failed > 0 && failed == second.requests()
}
