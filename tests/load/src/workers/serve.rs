//! A worker: waits for a coordinator and does its share of a run.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::wire::{
    Job, LONGEST, Order, Reader, STRANGER, Told, VERSION, Writer, micros, nonce, proof, wire,
};
use crate::client::{Connector, Target};
use crate::engine::{self, Message, Shards};
use crate::machine;
use crate::runner::{ScenarioWork, raise_limit, works};
use crate::scenario::Prepared;
use crate::steps::Registry;
use crate::users::{Account, AccountCopy};

/// Longest time for a stranger to prove that it knows the key.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a worker did not do what a coordinator wanted.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The connection.
    #[error("the connection to the coordinator broke")]
    Broken(#[from] io::Error),
    /// Somebody else.
    #[error("whoever asked does not know the key")]
    Stranger,
    /// Another version.
    #[error("the coordinator is of version {0}, this worker of {VERSION}")]
    Version(String),
    /// It cannot.
    #[error("the job cannot be done: {0}")]
    Impossible(String),
    /// Not what comes next.
    #[error("the coordinator said what makes no sense at this point")]
    Strange,
}

/// Serves one coordinator after the other, or only one. `note` is told how it went.
pub async fn serve(
    listener: TcpListener,
    key: &str,
    once: bool,
    mut note: impl FnMut(String),
) -> io::Result<()> {
    loop {
        let (stream, from) = listener.accept().await?;
        match Box::pin(attend(stream, key)).await {
            Ok(()) => note(format!("{from}: done")),
            Err(error) => note(format!("{from}: {error}")),
        }
        if once {
            return Ok(());
        }
    }
}

async fn attend(stream: TcpStream, key: &str) -> Result<(), ServeError> {
    let (mut reader, mut writer) = wire(stream)?;
    let greeted = greet(&mut reader, &mut writer, key);
    tokio::time::timeout(PATIENCE, greeted)
        .await
        .map_err(io::Error::from)??;
    let mut job = None;
    loop {
        match reader.next(LONGEST).await? {
            None | Some(Order::Stop) => return Ok(()),
            Some(Order::Clock { sent }) => {
                let own = micros();
                writer.say(&Told::Clock { sent, own }).await?;
            }
            Some(Order::Job(order)) => match prepare(*order).await {
                Ok(ready) => {
                    job = Some(ready);
                    writer.say(&Told::Ready).await?;
                }
                Err(why) => {
                    writer.say(&Told::Refused { why: why.clone() }).await?;
                    return Err(ServeError::Impossible(why));
                }
            },
            Some(Order::Begin { at }) => {
                let ready = job.take().ok_or(ServeError::Strange)?;
                return Box::pin(work(ready, at, reader, writer)).await;
            }
            Some(Order::Hello { .. } | Order::Renew { .. }) => return Err(ServeError::Strange),
        }
    }
}

async fn greet(reader: &mut Reader, writer: &mut Writer, key: &str) -> Result<(), ServeError> {
    let challenge = nonce()?;
    let first = Told::Challenge {
        version: VERSION.to_owned(),
        nonce: challenge.clone(),
    };
    writer.say(&first).await?;
    let Some(Order::Hello {
        version,
        nonce,
        proof: shown,
    }) = reader.next(STRANGER).await?
    else {
        return Err(ServeError::Strange);
    };
    let refused = if shown != proof(key, "coordinator", &challenge) {
        Some((
            "it does not know the key (--worker-key)".to_owned(),
            ServeError::Stranger,
        ))
    } else if version != VERSION {
        Some((
            format!("the worker is of version {VERSION}"),
            ServeError::Version(version),
        ))
    } else {
        None
    };
    if let Some((why, error)) = refused {
        writer.say(&Told::Refused { why }).await?;
        return Err(error);
    }
    let welcome = Told::Welcome {
        proof: proof(key, "worker", &nonce),
        cores: machine::cores(),
    };
    Ok(writer.say(&welcome).await?)
}

/// A job that can begin.
struct Ready<F> {
    prepared: Arc<Prepared>,
    accounts: Arc<Vec<Account>>,
    shards: Shards,
    work: F,
}

async fn prepare(
    job: Job,
) -> Result<Ready<impl Fn(engine::Share) -> ScenarioWork + Send + Sync + Clone + 'static>, String> {
    let told = |error: &dyn std::error::Error| error.to_string();
    let target = Target::resolve(&job.target)
        .await
        .map_err(|error| told(&error))?;
    let authorities = job.authorities.as_deref().map(str::as_bytes);
    let connector =
        Connector::new(&target, job.http2, authorities).map_err(|error| told(&error))?;
    let registry = Registry::of_the_stack();
    let prepared =
        Prepared::planned(job.scenario, job.plan, registry).map_err(|error| told(&error))?;
    let accounts: Option<Vec<Account>> =
        job.accounts.into_iter().map(AccountCopy::account).collect();
    let unsendable = "a credential that cannot be sent";
    let accounts = Arc::new(accounts.ok_or(unsendable)?);
    let operator = job.operator.map(|own| HeaderValue::from_str(&own));
    let operator = operator.transpose().map_err(|_| unsendable)?;
    let prepared = Arc::new(prepared);
    raise_limit();
    let work = works(&prepared, &target, &connector, &accounts, operator);
    Ok(Ready {
        work,
        prepared,
        accounts,
        shards: job.shards,
    })
}

/// Does the share, from a moment of this machine's clock on.
async fn work<F>(
    ready: Ready<F>,
    at: i64,
    mut reader: Reader,
    mut writer: Writer,
) -> Result<(), ServeError>
where
    F: Fn(engine::Share) -> ScenarioWork + Send + Sync + Clone + 'static,
{
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let halt = CancellationToken::new();
    let watch = machine::Watch::start();
    let begin = moment(at);
    engine::start(
        &ready.prepared.plan,
        ready.shards,
        begin,
        &ready.work,
        &halt,
        &sender,
    )?;
    drop(sender);
    // The coordinator's word may come in the middle of anything: it is read beside.
    let over = CancellationToken::new();
    let listened = async {
        let listen = async {
            while let Ok(Some(order)) = reader.next(LONGEST).await {
                match order {
                    Order::Renew {
                        account,
                        credential,
                    } => {
                        if let Some(account) = ready.accounts.get(account) {
                            account.use_credential(&credential);
                        }
                    }
                    _ => halt.cancel(),
                }
            }
            // It has gone: nobody wants this load any more.
            halt.cancel();
        };
        over.run_until_cancelled(listen).await;
    };
    let told = async {
        let mut told = Ok(());
        let mut threads = Vec::new();
        while let Some(message) = receiver.recv().await {
            if let Message::Ended(usage) = &message {
                threads.push(*usage);
            }
            if told.is_ok() {
                told = writer.say(&Told::Shard(message)).await;
            }
            if told.is_err() {
                halt.cancel();
            }
        }
        over.cancel();
        told?;
        let usage = watch.end(threads);
        writer.say(&Told::Ended { usage }).await
    };
    let ((), told) = tokio::join!(listened, told);
    Ok(told?)
}

/// A moment of the machine's clock on the clock that only goes forward.
fn moment(at: i64) -> Instant {
    let now = Instant::now();
    let ahead = at - micros();
    let distance = Duration::from_micros(ahead.unsigned_abs());
    if ahead >= 0 {
        now + distance
    } else {
        now.checked_sub(distance).unwrap_or(now)
    }
}
