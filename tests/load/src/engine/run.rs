//! A run: shards on threads, and whoever adds up what they send.

use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::collect::{Ended, Progress, collect};
use super::pacer::Pacer;
use super::plan::Plan;
use super::shard::{Duty, Share, drive};
use super::work::Work;
use crate::machine::{self, ThreadUsage, Usage};
use crate::measure::{Part, Recorder, Series};

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

/// Time that the threads get to be ready, so that all begin at the same moment.
const START: Duration = Duration::from_millis(100);

/// What a shard tells whoever adds up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Message {
    /// A phase has begun, so many seconds after the begin of the run.
    Phase(usize, f64),
    /// What was recorded up to the end of a second.
    Second(u64, Part),
    /// It is over.
    Ended(ThreadUsage),
    /// So many shards are gone and will tell nothing any more.
    Gone(u64),
}

/// Which shards of all are those of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shards {
    /// Number of the first.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// How many there are in all processes together.
    pub of: u64,
}

/// Runs a plan on `shards` threads. `work` makes the work of each shard, on its own thread.
pub async fn run<W, F>(
    plan: Plan,
    shards: u64,
    work: F,
    stop: CancellationToken,
    progress: impl FnMut(Progress<'_>),
) -> std::io::Result<Ran>
where
    W: Work,
    F: Fn(Share) -> W + Send + Sync + Clone + 'static,
{
    let (sender, receiver) = mpsc::unbounded_channel();
    let begin = Instant::now() + START;
    let watch = machine::Watch::start();
    let halt = stop.child_token();
    let all = Shards {
        first: 0,
        count: shards,
        of: shards,
    };
    start(&plan, all, begin, &work, &halt, &sender)?;
    drop(sender);
    let collected = collect(receiver, shards, begin, &stop, &halt, progress).await;
    Ok(Ran {
        series: collected.series,
        ended: collected.ended,
        elapsed: collected.elapsed,
        phase_seconds: collected.phase_seconds,
        usage: watch.end(collected.threads),
    })
}

/// Starts the shards of this process; each tells `sender` until it has ended.
pub fn start<W, F>(
    plan: &Plan,
    shards: Shards,
    begin: Instant,
    work: &F,
    halt: &CancellationToken,
    sender: &mpsc::UnboundedSender<Message>,
) -> std::io::Result<()>
where
    W: Work,
    F: Fn(Share) -> W + Send + Sync + Clone + 'static,
{
    for index in shards.first..shards.first + shards.count {
        let share = Share {
            index,
            of: shards.of,
        };
        let (plan, work, sender, halt) = (plan.clone(), work.clone(), sender.clone(), halt.clone());
        std::thread::Builder::new()
            .name(format!("load-{index}"))
            .spawn(move || thread(plan, share, &work, &sender, begin, halt))?;
    }
    Ok(())
}

fn thread<W: Work>(
    plan: Plan,
    share: Share,
    work: &impl Fn(Share) -> W,
    sender: &mpsc::UnboundedSender<Message>,
    begin: Instant,
    halt: CancellationToken,
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
        let _ = sender.send(Message::Phase(number, begin.elapsed().as_secs_f64()));
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
