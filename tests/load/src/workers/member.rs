//! One worker, as the coordinator deals with it.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::coordinate::WorkersError;
use super::wire::{LONGEST, Order, Reader, Told, VERSION, Writer, micros, nonce, proof, wire};

/// Questions for the time; the one that was answered soonest is the most exact.
const QUESTIONS: usize = 16;
/// Longest time to connect, to be greeted, to be ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// How far a worker's clock is before this one, in microseconds, and how far that may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offset {
    pub micros: i64,
    pub error: i64,
}

impl Offset {
    /// Of answers: sent, the worker's time, come back. Between sending and coming back the answer was
    /// given, in the middle as far as anybody knows.
    fn of(answers: &[(i64, i64, i64)]) -> Option<Self> {
        let soonest = answers.iter().min_by_key(|(sent, _, back)| back - sent)?;
        let (sent, own, back) = *soonest;
        Some(Self {
            micros: own - i64::midpoint(sent, back),
            error: (back - sent) / 2 + 1,
        })
    }
}

/// A worker that has been greeted.
pub(super) struct Member {
    pub address: String,
    pub cores: u64,
    pub offset: Offset,
    pub reader: Reader,
    pub writer: Writer,
}

/// Starts a worker of this machine; it goes when the handle goes.
pub(super) async fn start(key: &str) -> Result<(Child, String), WorkersError> {
    let program = std::env::current_exe().map_err(WorkersError::Start)?;
    let mut child = Command::new(program)
        .args([
            "--json",
            "load",
            "worker",
            "--listen",
            "127.0.0.1:0",
            "--once",
        ])
        .env("TOUCHSTONE_WORKER_KEY", key)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(WorkersError::Start)?;
    let gone = || std::io::Error::other("it ended before it listened");
    let stdout = child.stdout.take().ok_or_else(gone);
    let mut lines = BufReader::new(stdout.map_err(WorkersError::Start)?).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line())
        .await
        .map_err(|error| WorkersError::Start(error.into()))?
        .map_err(WorkersError::Start)?
        .ok_or_else(gone)
        .map_err(WorkersError::Start)?;
    let told: serde_json::Value =
        serde_json::from_str(&line).map_err(|error| WorkersError::Start(error.into()))?;
    match told["worker"].as_str() {
        Some(address) => Ok((child, address.to_owned())),
        None => Err(WorkersError::Start(gone())),
    }
}

impl Member {
    /// Connects to a worker, and finds out what it is.
    pub async fn greet(address: &str, key: &str) -> Result<Self, WorkersError> {
        let away = |source: std::io::Error| WorkersError::Away {
            address: address.to_owned(),
            source,
        };
        let greeted = async {
            let stream = TcpStream::connect(address).await.map_err(away)?;
            let (mut reader, mut writer) = wire(stream).map_err(away)?;
            let own = nonce().map_err(away)?;
            let cores = match reader.next(LONGEST).await.map_err(away)? {
                Some(Told::Challenge { nonce, .. }) => {
                    let hello = Order::Hello {
                        version: VERSION.to_owned(),
                        nonce: own.clone(),
                        proof: proof(key, "coordinator", &nonce),
                    };
                    writer.say(&hello).await.map_err(away)?;
                    match reader.next(LONGEST).await.map_err(away)? {
                        Some(Told::Welcome {
                            proof: shown,
                            cores,
                        }) if shown == proof(key, "worker", &own) => cores,
                        other => return Err(refused(address, other)),
                    }
                }
                other => return Err(refused(address, other)),
            };
            let mut answers = Vec::new();
            for _ in 0..QUESTIONS {
                let sent = micros();
                writer.say(&Order::Clock { sent }).await.map_err(away)?;
                match reader.next(LONGEST).await.map_err(away)? {
                    Some(Told::Clock { own, .. }) => answers.push((sent, own, micros())),
                    other => return Err(refused(address, other)),
                }
            }
            let offset = Offset::of(&answers).ok_or_else(|| refused(address, None))?;
            Ok(Self {
                address: address.to_owned(),
                cores,
                offset,
                reader,
                writer,
            })
        };
        match tokio::time::timeout(PATIENCE, greeted).await {
            Ok(greeted) => greeted,
            Err(late) => Err(away(late.into())),
        }
    }

    /// Hands over the job and waits until it can begin.
    pub async fn prepare(&mut self, job: &Order) -> Result<(), WorkersError> {
        let prepared = async {
            self.writer.say(job).await?;
            self.reader.next(LONGEST).await
        };
        let told = tokio::time::timeout(PATIENCE, prepared).await;
        let told = told.map_err(std::io::Error::from).and_then(|told| told);
        match told {
            Ok(Some(Told::Ready)) => Ok(()),
            Ok(other) => Err(refused(&self.address, other)),
            Err(source) => Err(WorkersError::Away {
                address: self.address.clone(),
                source,
            }),
        }
    }
}

fn refused(address: &str, told: Option<Told>) -> WorkersError {
    let why = match told {
        Some(Told::Refused { why }) => why,
        Some(Told::Welcome { .. }) => "it does not know the key (--worker-key)".to_owned(),
        Some(_) => "it said what makes no sense at this point".to_owned(),
        None => "it closed the connection".to_owned(),
    };
    WorkersError::Refused {
        address: address.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_ahead_is_known_as_well_as_its_soonest_answer() {
        // The worker is 5 s ahead; the first answer was held up on its way back.
        let answers = [
            (0, 5_000_050, 900),
            (1_000, 5_001_050, 1_100),
            (2_000, 5_002_300, 2_600),
        ];
        let offset = Offset::of(&answers).unwrap();
        assert_eq!((offset.micros, offset.error), (5_000_000, 51));
        assert_eq!(Offset::of(&[]), None);
    }
}
