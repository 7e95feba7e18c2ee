//! The coordinator of several workers.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use http::HeaderValue;
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::member::{Member, start};
use super::wire::{Job, LONGEST, Order, Reader, Told, Writer, micros, nonce};
use super::{WorkerUse, Workers};
use crate::engine::{Message, Progress, Ran, Shards, collect};
use crate::machine::Usage;
use crate::scenario::Prepared;
use crate::users::Account;

/// Time between the order to begin and the begin.
const AHEAD: Duration = Duration::from_millis(500);
/// Silence after which a worker counts as lost: each of its shards tells something every second.
const SILENCE: Duration = Duration::from_secs(10);

/// Why there was no run.
#[derive(Debug, thiserror::Error)]
pub enum WorkersError {
    /// One of this machine.
    #[error("cannot start a worker")]
    Start(#[source] std::io::Error),
    /// One cannot be talked to.
    #[error("there is no worker at {address}")]
    Away {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// One does not want to.
    #[error("the worker at {address} refused: {why}")]
    Refused {
        /// Where.
        address: String,
        /// Why.
        why: String,
    },
}

/// What the workers are given besides the plan.
#[derive(Clone, Debug)]
pub struct Distributed {
    /// Where they are.
    pub workers: Workers,
    /// What they and the coordinator know; without one, those of this machine get one of their own.
    pub key: String,
    /// Threads of load of each; as many as are good when absent.
    pub shards: Option<u64>,
    /// What is aimed at.
    pub target: String,
    /// Speaks HTTP/2.
    pub http2: bool,
    /// Credential of whoever runs the target, for steps of theirs.
    pub operator: Option<String>,
    /// Certificates in PEM that are believed besides the public ones.
    pub authorities: Option<String>,
}

/// Lets workers do a plan. Tells also of each worker, and what went wrong with them.
pub async fn run(
    prepared: &Prepared,
    given: &Distributed,
    accounts: &[Account],
    stop: CancellationToken,
    mut note: impl FnMut(String),
    progress: impl FnMut(Progress<'_>),
) -> Result<(Ran, Vec<WorkerUse>, Vec<String>), WorkersError> {
    let (_children, mut members) = assemble(given).await?;
    let counts = shards(given, &members);
    let of = counts.iter().sum();
    let mut first = 0;
    let mut jobs = Vec::new();
    for &count in &counts {
        let shards = Shards { first, count, of };
        first += count;
        jobs.push(Order::Job(Box::new(Job {
            scenario: prepared.scenario.clone(),
            plan: prepared.plan.clone(),
            target: given.target.clone(),
            http2: given.http2,
            authorities: given.authorities.clone(),
            accounts: accounts.iter().map(Account::copy).collect(),
            operator: given.operator.clone(),
            shards,
        })));
    }
    let ready = members.iter_mut().zip(&jobs);
    try_join_all(ready.map(|(member, job)| member.prepare(job))).await?;
    for (member, count) in members.iter().zip(&counts) {
        note(format!(
            "worker {}: {count} threads, clock {:+.3} ms (± {:.3})",
            member.address,
            member.offset.micros as f64 / 1e3,
            member.offset.error as f64 / 1e3
        ));
    }
    Ok(conduct(members, &counts, accounts, stop, progress).await)
}

/// The workers, and the processes that were started for it, which end with their handles.
async fn assemble(given: &Distributed) -> Result<(Vec<Child>, Vec<Member>), WorkersError> {
    let (children, addresses, key) = match &given.workers {
        Workers::Local(count) => {
            let key = nonce().map_err(WorkersError::Start)?;
            let started = try_join_all((0..*count).map(|_| start(&key))).await?;
            let (children, addresses): (Vec<_>, Vec<_>) = started.into_iter().unzip();
            (children, addresses, key)
        }
        Workers::Remote(addresses) => (Vec::new(), addresses.clone(), given.key.clone()),
    };
    let greeted = addresses.iter().map(|address| Member::greet(address, &key));
    Ok((children, try_join_all(greeted).await?))
}

/// Threads of each worker: those of one machine share half of its cores with the target, others have all
/// but one to themselves.
fn shards(given: &Distributed, members: &[Member]) -> Vec<u64> {
    let each = |member: &Member| match (given.shards, &given.workers) {
        (Some(shards), _) => shards,
        (None, Workers::Local(count)) => member.cores / 2 / count,
        (None, Workers::Remote(_)) => member.cores.saturating_sub(1),
    };
    members.iter().map(|member| each(member).max(1)).collect()
}

async fn conduct(
    members: Vec<Member>,
    counts: &[u64],
    accounts: &[Account],
    stop: CancellationToken,
    progress: impl FnMut(Progress<'_>),
) -> (Ran, Vec<WorkerUse>, Vec<String>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let halt = stop.child_token();
    let over = CancellationToken::new();
    let begin = Instant::now() + AHEAD;
    let at = micros() + AHEAD.as_micros() as i64;
    let mut uses = Vec::new();
    let (mut readers, mut writers) = (Vec::new(), Vec::new());
    for (member, count) in members.into_iter().zip(counts) {
        uses.push(WorkerUse {
            address: member.address,
            shards: *count,
            clock_ms: member.offset.micros as f64 / 1e3,
            clock_error_ms: member.offset.error as f64 / 1e3,
            ..WorkerUse::default()
        });
        readers.push((member.reader, *count, sender.clone()));
        writers.push((member.writer, at + member.offset.micros));
    }
    drop(sender);
    let read = readers.into_iter().map(|(reader, count, sender)| {
        let halt = halt.clone();
        async move {
            let ended = follow(reader, count, &sender).await;
            if ended.is_err() {
                // The share of one that is gone is made by nobody: what the others measure is not what
                // was asked for.
                halt.cancel();
            }
            ended
        }
    });
    let read = async {
        let ended = join_all(read).await;
        over.cancel();
        ended
    };
    let collected = collect(receiver, counts.iter().sum(), begin, &stop, &halt, progress);
    let spoken = speak(writers, accounts, &halt, &over);
    let (collected, ended, ()) = tokio::join!(collected, read, spoken);
    let mut usage = Usage::default();
    let mut lost = Vec::new();
    for (own, ended) in uses.iter_mut().zip(ended) {
        match ended {
            Ok((requests, used)) => {
                own.requests = requests;
                own.cores = used.process_cores;
                own.memory = used.memory;
                usage.add(&used);
            }
            Err((requests, second, why)) => {
                own.requests = requests;
                own.lost = true;
                lost.push(format!(
                    "the worker at {} was lost after {second} s ({why}): its share of the load was not made",
                    own.address
                ));
            }
        }
    }
    let ran = Ran {
        series: collected.series,
        ended: collected.ended,
        elapsed: collected.elapsed,
        phase_seconds: collected.phase_seconds,
        usage,
    };
    (ran, uses, lost)
}

/// Passes on what a worker tells; how many requests it made, and what it used. It is lost when it says
/// nothing, or goes before its end; then it is told up to which second it worked.
async fn follow(
    mut reader: Reader,
    shards: u64,
    sender: &mpsc::UnboundedSender<Message>,
) -> Result<(u64, Usage), (u64, u64, String)> {
    let (mut second, mut requests) = (0, 0);
    let lost = loop {
        match tokio::time::timeout(SILENCE, reader.next(LONGEST)).await {
            Err(_) => break format!("silent for {} s", SILENCE.as_secs()),
            Ok(Err(error)) => break error.to_string(),
            Ok(Ok(Some(Told::Shard(message)))) => {
                if let Message::Second(at, part) = &message {
                    second = second.max(at + 1);
                    requests += part.requests();
                }
                let _ = sender.send(message);
            }
            Ok(Ok(Some(Told::Ended { usage }))) => return Ok((requests, usage)),
            Ok(Ok(Some(_))) => break "it said what makes no sense at this point".to_owned(),
            Ok(Ok(None)) => break "it closed the connection".to_owned(),
        }
    };
    let _ = sender.send(Message::Gone(shards));
    Err((requests, second, lost))
}

/// Orders the begin, passes on credentials that were renewed, and orders the end when it comes early.
async fn speak(
    mut writers: Vec<(Writer, i64)>,
    accounts: &[Account],
    halt: &CancellationToken,
    over: &CancellationToken,
) {
    // A worker that cannot be told anything is found out by its silence.
    for (writer, at) in &mut writers {
        let _ = writer.say(&Order::Begin { at: *at }).await;
    }
    let mut known: Vec<HeaderValue> = accounts.iter().map(Account::credential).collect();
    loop {
        tokio::select! {
            () = over.cancelled() => return,
            () = halt.cancelled() => break,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        for (number, account) in accounts.iter().enumerate() {
            let credential = account.credential();
            if credential == known[number] {
                continue;
            }
            let renewed = Order::Renew {
                account: number,
                credential: credential.to_str().unwrap_or_default().to_owned(),
            };
            for (writer, _) in &mut writers {
                let _ = writer.say(&renewed).await;
            }
            known[number] = credential;
        }
    }
    for (writer, _) in &mut writers {
        let _ = writer.say(&Order::Stop).await;
    }
    over.cancelled().await;
}
