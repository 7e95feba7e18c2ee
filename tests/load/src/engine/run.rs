//! A run: shards on threads, and whoever adds up what they send.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pacer::Pacer;
use super::plan::Plan;
use super::shard::{Duty, Share, drive};
use super::work::Work;
use crate::machine::{self, Usage};
use crate::measure::{ErrorClass, Part, Recorder, Second, Series};

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

/// What a run was.
#[derive(Debug)]
pub struct Ran {
    /// What was measured.
    pub series: Series,
    /// How it ended.
    pub ended: Ended,
    /// From the first request to the last.
    pub elapsed: Duration,
    /// How long each phase took.
    pub phase_seconds: Vec<f64>,
    /// What the generator used, by thread of work, and the machine.
    pub usage: Usage,
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

/// Seconds without any success and with failing connections after which a target counts as lost.
const LOST_AFTER: u64 = 10;
/// Time that the threads get to be ready, so that all begin at the same moment.
const START: Duration = Duration::from_millis(100);

enum Message {
    Second(u64, Part),
    Ended(machine::ThreadUsage),
}

/// Runs a plan on `shards` threads. `work` makes the work of each shard, on its own thread.
pub async fn run<W, F>(
    plan: Plan,
    shards: u64,
    work: F,
    stop: CancellationToken,
    mut progress: impl FnMut(Progress<'_>),
) -> std::io::Result<Ran>
where
    W: Work,
    F: Fn(Share) -> W + Send + Sync + Clone + 'static,
{
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let phase = Arc::new(Phases::default());
    let begin = Instant::now() + START;
    let watch = machine::Watch::start();
    let halt = stop.child_token();
    for index in 0..shards {
        let share = Share { index, of: shards };
        let (plan, work, sender) = (plan.clone(), work.clone(), sender.clone());
        let (halt, phase) = (halt.clone(), Arc::clone(&phase));
        std::thread::Builder::new()
            .name(format!("load-{index}"))
            .spawn(move || thread(plan, share, &work, &sender, begin, halt, &phase))?;
    }
    drop(sender);
    let mut series = Series::default();
    let mut threads = Vec::new();
    let mut complete = 0;
    let mut lost_for = 0;
    let mut ended = Ended::Complete;
    let mut last_second = (0, 0);
    while let Some(message) = receiver.recv().await {
        match message {
            Message::Ended(usage) => threads.push(usage),
            Message::Second(at, part) => {
                series.absorb(at, &part);
                if last_second.0 != at {
                    last_second = (at, 0);
                }
                last_second.1 += 1;
                if last_second.1 < shards || at < complete {
                    continue;
                }
                complete = at + 1;
                let Some(second) = series.last() else {
                    continue;
                };
                lost_for = if is_lost(second) { lost_for + 1 } else { 0 };
                if lost_for >= LOST_AFTER {
                    ended = Ended::TargetLost;
                    halt.cancel();
                }
                progress(Progress {
                    elapsed: begin.elapsed(),
                    phase: phase.now.load(Ordering::Relaxed),
                    second,
                    series: &series,
                });
            }
        }
    }
    if stop.is_cancelled() && ended == Ended::Complete {
        ended = Ended::Stopped;
    }
    Ok(Ran {
        series,
        ended,
        phase_seconds: phase.lasted(begin.elapsed().as_secs_f64()),
        elapsed: begin.elapsed(),
        usage: watch.end(threads),
    })
}

/// Which phase it is, and when each began on the last shard that did.
#[derive(Debug, Default)]
struct Phases {
    now: AtomicUsize,
    begun: Mutex<Vec<f64>>,
}

impl Phases {
    fn begun(&self, number: usize, at: f64) {
        self.now.fetch_max(number, Ordering::Relaxed);
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if begun.len() <= number {
            begun.resize(number + 1, at);
        }
        begun[number] = begun[number].max(at);
    }

    fn lasted(&self, end: f64) -> Vec<f64> {
        let mut begun = self
            .begun
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
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

fn thread<W: Work>(
    plan: Plan,
    share: Share,
    work: &impl Fn(Share) -> W,
    sender: &mpsc::UnboundedSender<Message>,
    begin: Instant,
    halt: CancellationToken,
    phase: &Phases,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return;
    };
    let usage = machine::ThreadWatch::start();
    let recorder = Recorder::default();
    let local = LocalSet::new();
    let duty = Duty {
        plan: Rc::new(plan),
        share,
        work: Rc::new(work(share)),
        recorder: recorder.clone(),
        pacer: Pacer::thread(),
        begin,
        stop: halt,
    };
    let driven = drive(duty, |number| {
        phase.begun(number, begin.elapsed().as_secs_f64());
    });
    let report = {
        let (recorder, sender) = (recorder.clone(), sender.clone());
        async move {
            for second in 0_u64.. {
                tokio::time::sleep_until(begin + Duration::from_secs(second + 1)).await;
                let _ = sender.send(Message::Second(second, recorder.take()));
            }
        }
    };
    local.block_on(&runtime, async {
        let report = tokio::task::spawn_local(report);
        Box::pin(driven).await;
        report.abort();
    });
    let at = begin.elapsed().as_secs();
    let _ = sender.send(Message::Second(at, recorder.take()));
    let _ = sender.send(Message::Ended(usage.end()));
}
