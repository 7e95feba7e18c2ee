//! A server that does nothing: what is measured against it is the generator. Only below `/wander` it
//! takes its time, as a service does.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use touchstone_load::arrivals::Random;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";
const STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
/// Events of a stream, one a second.
const EVENTS: u32 = 8;

/// How the times of `/wander` are: log-normal around a level that wanders from second to second.
const MEDIAN_MS: f64 = 20.0;
const SIGMA: f64 = 0.6;
const STAYS: f64 = 0.7;
const STEP: f64 = 0.04;
/// What `/wander-slower` takes longer.
const SLOWER: f64 = 1.1;

/// A level that wanders.
#[derive(Debug)]
struct Level {
    random: Random,
    began: Instant,
    second: u64,
    log: f64,
}

impl Level {
    fn new() -> Self {
        Self {
            // Another one in each process: runs that repeat each other would tell nothing.
            random: Random::new(RandomState::new().hash_one(()), 20),
            began: Instant::now(),
            second: 0,
            log: 0.0,
        }
    }

    fn time(&mut self) -> Duration {
        while self.second < self.began.elapsed().as_secs() {
            self.second += 1;
            self.log = STAYS * self.log + STEP * self.random.normal();
        }
        let millis = self.random.log_normal(MEDIAN_MS, SIGMA) * self.log.exp();
        Duration::from_secs_f64(millis / 1e3)
    }
}

type Shared = Arc<Mutex<Level>>;

/// Serves for ever; tells the port first.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let _ = rlimit::increase_nofile_limit(1 << 20);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    crate::say(&listener.local_addr()?.to_string());
    let level = Arc::new(Mutex::new(Level::new()));
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        connections.spawn(answer(stream, Arc::clone(&level)));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: TcpStream, level: Shared) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(4096);
    loop {
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // Requests of the engine have no bodies here: a head is a request.
        while let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let is_stream = buffer.starts_with(b"GET /stream");
            let factor = if buffer.starts_with(b"GET /wander-slower") {
                Some(SLOWER)
            } else {
                buffer.starts_with(b"GET /wander").then_some(1.0)
            };
            buffer.drain(..end + 4);
            if let Some(factor) = factor {
                let time = level.lock().unwrap_or_else(PoisonError::into_inner).time();
                tokio::time::sleep(time.mul_f64(factor)).await;
            }
            let done = if is_stream {
                events(&mut stream).await
            } else {
                stream.write_all(ANSWER).await
            };
            if done.is_err() || is_stream {
                return;
            }
        }
    }
}

async fn events(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(STREAM).await?;
    for event in 0..EVENTS {
        stream
            .write_all(format!("data: {event}\n\n").as_bytes())
            .await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    stream.shutdown().await
}
