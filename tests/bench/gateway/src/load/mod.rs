//! The load: raw HTTP/1.1 on kept connections, every answer read to its end and checked.

pub mod events;
mod http1;
pub mod open;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinSet;

pub use http1::{Answer, Connection, get};

/// One kind of request, sent over and over.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where to.
    pub address: SocketAddr,
    /// The bytes of the request, by connection: equal ones at once might be answered together.
    pub requests: Arc<[Vec<u8>]>,
    /// The body that every answer must have.
    pub expected: Arc<[u8]>,
}

/// What a closed loop saw after its warm-up.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    /// Answers.
    pub answers: u64,
    /// In how long.
    pub elapsed: Duration,
    /// Processor time of the program under test meanwhile.
    pub cpu: Duration,
}

impl Closed {
    /// Microseconds of processor time of an answer.
    pub fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.answers as f64
    }

    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }

    /// Share of its core that the program under test used.
    pub fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

impl Load {
    /// `connections` that each send the next request when the last is answered. `cpu` tells the
    /// processor time of the program under test. A wrong answer ends it with an error.
    pub async fn closed(
        &self,
        connections: usize,
        warm_up: Duration,
        lasting: Duration,
        cpu: impl Fn() -> anyhow::Result<Duration>,
    ) -> anyhow::Result<Closed> {
        let answers = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for number in 0..connections {
            let (load, answers) = (self.clone(), Arc::clone(&answers));
            let mut connection = Connection::open(self.address).await?;
            tasks.spawn(async move {
                loop {
                    let answer = connection.exchange(load.request(number)).await?;
                    load.check(&answer)?;
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let measured = async {
            tokio::time::sleep(warm_up).await;
            let (start, before) = (Instant::now(), answers.load(Ordering::Relaxed));
            let cpu_before = cpu()?;
            tokio::time::sleep(lasting).await;
            let (elapsed, after) = (start.elapsed(), answers.load(Ordering::Relaxed));
            let cpu = cpu()?.saturating_sub(cpu_before);
            anyhow::ensure!(after > before, "no answer within {lasting:?}");
            Ok(Closed {
                answers: after - before,
                elapsed,
                cpu,
            })
        };
        tokio::select! {
            closed = measured => closed,
            broken = broken(&mut tasks) => Err(broken),
        }
    }

    /// Microseconds of each exchange on one connection.
    pub async fn latencies(&self, warm_up: usize, lasting: Duration) -> anyhow::Result<Vec<f64>> {
        let mut connection = Connection::open(self.address).await?;
        let mut micros = Vec::new();
        let (mut sent, mut start) = (0, Instant::now());
        while sent < warm_up || start.elapsed() < lasting {
            if sent == warm_up {
                start = Instant::now();
            }
            let before = Instant::now();
            let answer = connection.exchange(self.request(0)).await?;
            let took = before.elapsed();
            self.check(&answer)?;
            if sent >= warm_up {
                micros.push(took.as_secs_f64() * 1e6);
            }
            sent += 1;
        }
        Ok(micros)
    }

    fn request(&self, connection: usize) -> &[u8] {
        &self.requests[connection % self.requests.len()]
    }

    fn check(&self, answer: &Answer<'_>) -> anyhow::Result<()> {
        anyhow::ensure!(
            answer.status == 200 && *answer.body == *self.expected,
            "a wrong answer: {} {}",
            answer.status,
            String::from_utf8_lossy(&answer.body[..answer.body.len().min(400)])
        );
        Ok(())
    }
}

/// The first failure of a task.
async fn broken(tasks: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Error {
    match tasks.join_next().await {
        Some(Ok(Err(error))) => error.context("a connection of the load"),
        Some(Err(error)) => anyhow::Error::new(error),
        Some(Ok(Ok(()))) | None => anyhow::anyhow!("the load ended by itself"),
    }
}

/// Waits for every task and returns what they found.
pub async fn joined<T: 'static>(mut tasks: JoinSet<anyhow::Result<T>>) -> anyhow::Result<Vec<T>> {
    let mut found = Vec::with_capacity(tasks.len());
    while let Some(done) = tasks.join_next().await {
        found.push(done.context("a task of the load")??);
    }
    Ok(found)
}
