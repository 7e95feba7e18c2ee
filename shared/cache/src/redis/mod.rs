//! Redis: one connection with a deadline around every command and a breaker of its own.
//!
//! A command never waits longer than [`Options::timeout`]. After [`Options::failures`] errors in a
//! row the connection counts as away: commands fail at once, and a task in the background connects
//! anew and sends `PING` until one is answered. Callers' requests never probe.

mod cache;
mod trial;
mod uri;

pub use cache::RedisCache;
pub use trial::trial;
pub use uri::Options;

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue, RedisError, ScriptInvocation};
use tokio::sync::watch;
use tokio::time::error::Elapsed;
use touchstone_lifecycle::provide_cryptography;
use touchstone_resilience::random::Draws;

/// Commands that may wait for their turn on the connection.
const BUFFER: usize = 4096;

/// Turns of the runtime between the bytes in the socket and whoever waits for them: one that reads,
/// one of the task that sorts answers, and one more if that was before the first.
const TURNS: usize = 3;

/// A command was not done, or it is not known whether it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server was found to be away; nothing was sent.
    #[error("redis is away")]
    Away,
    /// No answer in time: the command may have been done.
    #[error("redis did not answer within {0:?}")]
    Timeout(Duration),
    /// The server, or the way to it, refused.
    #[error("redis refused a command")]
    Command(#[source] RedisError),
}

/// A connection that many share; cheap to clone.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    /// Server, user and password: never printed.
    client: Client,
    options: Options,
    /// Replaced as a whole when the server comes back: a connection whose packets were dropped
    /// would wait for its retransmissions otherwise.
    manager: ArcSwap<ConnectionManager>,
    /// Errors since the last success.
    errors: AtomicU32,
    /// Counts the times that the breaker opened, so that stragglers of an earlier time count no
    /// more.
    epoch: AtomicU64,
    up: AtomicBool,
    /// `None` until the first answer or the first failure.
    told: watch::Sender<Option<bool>>,
}

impl Connection {
    /// A connection to `uri` (`redis://[user][:password@]host[:port][/db]`, `rediss://…`), whose
    /// query may hold [`Options`]. Connects in the background; call it inside a runtime.
    ///
    /// # Errors
    /// [`crate::Error`] when the URI cannot be read; it never shows the URI itself.
    pub fn open(uri: &str) -> Result<Self, crate::Error> {
        let (server, options) = uri::read(uri)?;
        Self::with(&server, options)
    }

    /// As [`Connection::open`], with at least so long for a command.
    pub(crate) fn open_patiently(uri: &str, least: Duration) -> Result<Self, crate::Error> {
        let (server, options) = uri::read(uri)?;
        let timeout = options.timeout.max(least);
        Self::with(&server, Options { timeout, ..options })
    }

    /// As [`Connection::open`], with these options and none in the URI.
    pub fn with(server: &str, options: Options) -> Result<Self, crate::Error> {
        let unreadable = |_| crate::Error::Server;
        // For `rediss://`.
        provide_cryptography();
        let client = Client::open(server).map_err(unreadable)?;
        let manager = manager(&client, &options).map_err(unreadable)?;
        let connection = Self(Arc::new(Inner {
            client,
            options,
            manager: ArcSwap::from_pointee(manager),
            errors: AtomicU32::new(0),
            epoch: AtomicU64::new(0),
            up: AtomicBool::new(false),
            told: watch::Sender::new(None),
        }));
        recover(Arc::downgrade(&connection.0));
        Ok(connection)
    }

    /// Whether commands are sent at all.
    pub fn is_up(&self) -> bool {
        self.0.up.load(Ordering::Acquire)
    }

    /// Waits for the first verdict on the server, at most `patience`; whether it is there.
    pub async fn settled(&self, patience: Duration) -> bool {
        let mut told = self.0.told.subscribe();
        let known = tokio::time::timeout(patience, told.wait_for(Option::is_some));
        known
            .await
            .is_ok_and(|told| told.is_ok_and(|told| *told == Some(true)))
    }

    /// Waits until the server is there.
    pub async fn up(&self) {
        let mut told = self.0.told.subscribe();
        // The sender lives in `self`, so the wait ends only by the condition.
        let _ = told.wait_for(|up| *up == Some(true)).await;
    }

    /// Waits until the server is away.
    pub async fn away(&self) {
        let mut told = self.0.told.subscribe();
        let _ = told.wait_for(|up| *up == Some(false)).await;
    }

    /// The options in force.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Runs a command.
    pub(crate) async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        self.guarded(async |manager: &mut ConnectionManager| command.query_async(manager).await)
            .await
    }

    /// Runs a script: `EVALSHA`, and only when the server does not know it, its text.
    pub(crate) async fn script<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, Error> {
        self.guarded(async |manager: &mut ConnectionManager| script.invoke_async(manager).await)
            .await
    }

    async fn guarded<T>(
        &self,
        work: impl AsyncFnOnce(&mut ConnectionManager) -> Result<T, RedisError>,
    ) -> Result<T, Error> {
        if !self.is_up() {
            return Err(Error::Away);
        }
        let epoch = self.0.epoch.load(Ordering::Acquire);
        let mut manager = ConnectionManager::clone(&self.0.manager.load());
        let timeout = self.0.options.timeout;
        let work = work(&mut manager);
        match in_time(timeout, work).await {
            Ok(Ok(value)) => {
                self.0.errors.store(0, Ordering::Release);
                Ok(value)
            }
            Ok(Err(error)) => {
                if tells_of_the_way(&error) {
                    self.failed(epoch);
                }
                Err(Error::Command(error))
            }
            Err(_) => {
                self.failed(epoch);
                Err(Error::Timeout(timeout))
            }
        }
    }

    fn failed(&self, epoch: u64) {
        let inner = &self.0;
        let errors = inner.errors.fetch_add(1, Ordering::AcqRel) + 1;
        let now = inner.epoch.load(Ordering::Acquire);
        if errors < inner.options.failures || now != epoch {
            return;
        }
        if inner.up.swap(false, Ordering::AcqRel) {
            inner.epoch.fetch_add(1, Ordering::AcqRel);
            tracing::warn!(errors, "redis is away; going on without it");
            inner.told.send_replace(Some(false));
            recover(Arc::downgrade(inner));
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("up", &self.is_up())
            .finish_non_exhaustive()
    }
}

/// Waits for `work` at most so long, and then takes what has already come: on a full machine the
/// process may wake up late for an answer that was in time, and the clock would speak first.
async fn in_time<T>(longest: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
    let mut work = pin!(work);
    match tokio::time::timeout(longest, work.as_mut()).await {
        Ok(done) => Ok(done),
        Err(elapsed) => {
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
                if let Some(done) = work.as_mut().now_or_never() {
                    return Ok(done);
                }
            }
            Err(elapsed)
        }
    }
}

/// Whether [`Connection::open`] understands the URI.
pub(crate) fn check(uri: &str) -> Result<(), crate::Error> {
    let (server, _) = uri::read(uri)?;
    Client::open(server)
        .map(|_| ())
        .map_err(|_| crate::Error::Server)
}

/// Another one in every process, so that replicas do not ping in step.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

fn manager(client: &Client, options: &Options) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        // While it reconnects every command waits for it: once is enough, the task below repeats.
        .set_number_of_retries(0)
        .set_max_delay(Duration::from_secs(1))
        .set_connection_timeout(Some(options.connect_timeout))
        // The deadline around the command is ours.
        .set_response_timeout(None)
        .set_pipeline_buffer_size(BUFFER);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

/// Whether the error says something about the server's health; a refusal of one command does not.
fn tells_of_the_way(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_connection_dropped() || {
        use redis::{ErrorKind, ServerErrorKind};
        matches!(
            error.kind(),
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::ReadOnly
            ) | ErrorKind::AuthenticationFailed
        )
    }
}

/// Connects anew and asks until an answer comes, then lets commands through.
#[expect(
    clippy::disallowed_methods,
    reason = "ends with the connection or with its recovery; opening one needs no lifecycle"
)]
fn recover(inner: Weak<Inner>) {
    let draws = Draws::new(seed());
    tokio::spawn(async move {
        let mut pause = Duration::ZERO;
        loop {
            tokio::time::sleep(pause).await;
            let Some(inner) = inner.upgrade() else {
                return;
            };
            if let Some(fresh) = answering(&inner).await {
                inner.manager.store(Arc::new(fresh));
                inner.errors.store(0, Ordering::Release);
                inner.up.store(true, Ordering::Release);
                inner.told.send_replace(Some(true));
                tracing::info!("redis is there");
                return;
            }
            inner.told.send_replace(Some(false));
            let Options {
                first_pause,
                longest_pause,
                ..
            } = inner.options;
            let ceiling = (pause * 2).clamp(first_pause, longest_pause);
            pause = first_pause + draws.up_to(ceiling.saturating_sub(first_pause));
        }
    });
}

/// A new connection, if the server answers on it.
async fn answering(inner: &Inner) -> Option<ConnectionManager> {
    let mut fresh = manager(&inner.client, &inner.options).ok()?;
    let ping = async {
        let pong: Result<String, _> = redis::cmd("PING").query_async(&mut fresh).await;
        pong
    };
    // Twice: once to connect, once to answer.
    let patience = inner.options.connect_timeout * 2;
    let answered = match tokio::time::timeout(patience, ping).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => {
            tracing::debug!(error = %error, "redis did not answer a ping");
            false
        }
        Err(_) => false,
    };
    answered.then_some(fresh)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::oneshot;

    use super::*;

    const LONGEST: Duration = Duration::from_millis(5);

    /// A way to answer, and what comes of it: through a task that reads and one that hands over.
    async fn answers() -> (TcpStream, oneshot::Receiver<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = TcpStream::connect(listener.local_addr().unwrap());
        let (server, accepted) = tokio::join!(server, listener.accept());
        let mut client = accepted.unwrap().0;
        let (pass, passed) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let read = async move { pass.send(client.read_u8().await.unwrap()) };
        let hand_over = async move { tell.send(passed.await.unwrap()) };
        #[expect(clippy::disallowed_methods, reason = "end with the test")]
        {
            tokio::spawn(read);
            tokio::spawn(hand_over);
        }
        // Both wait now.
        tokio::task::yield_now().await;
        (server.unwrap(), told)
    }

    #[tokio::test]
    async fn an_answer_that_came_while_the_process_did_not_run_is_in_time() {
        let (mut server, told) = answers().await;
        let late = async {
            server.write_u8(7).await.unwrap();
            // Nobody else runs meanwhile: the answer and the end of the time are there together.
            std::thread::sleep(4 * LONGEST);
            std::future::pending::<()>().await;
        };
        let done = tokio::select! {
            biased;
            done = in_time(LONGEST, told) => done,
            () = late => unreachable!(),
        };
        assert_eq!(done.unwrap(), Ok(7));
    }

    #[tokio::test]
    async fn silence_is_not_waited_for() {
        let (_server, told) = answers().await;
        assert!(in_time(LONGEST, told).await.is_err());
    }
}
