//! Callers who come at their own pace, whatever happened to those before them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::Connection;

/// How callers come.
#[derive(Clone, Copy, Debug)]
pub struct Arrivals {
    /// Callers a second, evenly.
    pub rate: u64,
    /// How long they come.
    pub lasting: Duration,
    /// How long each waits before it gives up and hangs up.
    pub patience: Duration,
}

/// What became of one caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// When it should have been sent, after the start.
    pub due: Duration,
    /// From then to the end of the answer.
    pub took: Duration,
    /// What came.
    pub result: Outcome,
}

/// What one caller got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer of this status.
    Answer(u16),
    /// Nothing in time.
    GaveUp,
    /// The connection broke.
    Broken,
}

/// Sends `request(number)` for each caller and waits for all of them. Time counts from when a
/// request was due, so that a stalled server is not spared.
pub async fn open(
    addresses: &[SocketAddr],
    arrivals: Arrivals,
    request: impl Fn(u64) -> Vec<u8>,
) -> anyhow::Result<Vec<Call>> {
    let pools: Vec<Arc<Pool>> = addresses
        .iter()
        .map(|address| Arc::new(Pool::new(*address)))
        .collect();
    let start = Instant::now();
    let count = arrivals.rate * arrivals.lasting.as_millis() as u64 / 1000;
    let mut calls = JoinSet::new();
    for number in 0..count {
        let due = Duration::from_nanos(number * 1_000_000_000 / arrivals.rate);
        sleep_until(start + due).await;
        let pool = &pools[number as usize % pools.len()];
        let (pool, request) = (Arc::clone(pool), request(number));
        calls.spawn(async move {
            let result = match timeout(arrivals.patience, pool.exchange(&request)).await {
                Ok(Ok(status)) => Outcome::Answer(status),
                Ok(Err(_)) => Outcome::Broken,
                Err(_) => Outcome::GaveUp,
            };
            Call {
                due,
                took: start.elapsed().saturating_sub(due),
                result,
            }
        });
    }
    let mut ended = Vec::with_capacity(count as usize);
    while let Some(call) = calls.join_next().await {
        ended.push(call.context("a caller")?);
    }
    Ok(ended)
}

/// Kept connections to one address; one that was given up is not kept.
struct Pool {
    address: SocketAddr,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            idle: Mutex::default(),
        }
    }

    async fn exchange(&self, request: &[u8]) -> std::io::Result<u16> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(self.address).await?,
        };
        let answer = connection.exchange(request).await?;
        let (status, close) = (answer.status, answer.header("connection") == Some("close"));
        if !close {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
        Ok(status)
    }
}
