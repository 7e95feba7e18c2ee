//! The connection: deadlines, one more try when it was broken, and what errors mean.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use qdrant_client::config::QdrantConfig;
use qdrant_client::{Qdrant, QdrantError};
use touchstone_config::Secret;
use touchstone_error::chain;
use touchstone_lifecycle::{Gate, Lifecycle};

use crate::error::Error;

/// The oldest server that scores sparse vectors by the frequencies of one tenant; an older one
/// takes the request and silently scores by those of all tenants.
pub const MINIMUM_VERSION: (u32, u32) = (1, 19);

/// Pause between two looks at a server that has not answered yet.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How Qdrant is used.
#[derive(Clone, Debug)]
pub struct Options {
    /// Sent with every request, when there is one.
    pub api_key: Secret,
    /// What the names of our collections begin with.
    pub prefix: String,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the answer of a read.
    pub read_timeout: Duration,
    /// Longest wait for a write to be applied.
    pub write_timeout: Duration,
    /// Whether dense vectors are compared with all of a tenant's, not through the graph.
    pub exact: bool,
    /// Copies of each shard, in a cluster.
    pub replication_factor: u32,
}

/// The way to the server; cheap to clone.
///
/// The driver asks nobody whether an idle connection is still alive, and would send call after
/// call into one whose other end is gone. So a call that gets no answer in time also ends the
/// connections it may have used: the next one connects anew.
#[derive(Clone)]
pub(super) struct Connection(Arc<Line>);

struct Line {
    /// The driver and its number, so that of many late calls only the first replaces it.
    client: RwLock<(u64, Qdrant)>,
    config: QdrantConfig,
    read_timeout: Duration,
    write_timeout: Duration,
    ready: AtomicBool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn open(uri: &str, options: &Options) -> Result<Self, Error> {
        let url = http_url(uri).ok_or(Error::Uri)?;
        let longest = options.read_timeout.max(options.write_timeout);
        let mut config = QdrantConfig::from_url(&url)
            .timeout(longest)
            .connect_timeout(options.connect_timeout)
            .keep_alive_while_idle()
            // The client's own check prints to the standard output; ours is in `watch`.
            .skip_compatibility_check();
        if !options.api_key.is_empty() {
            config.set_api_key(options.api_key.expose());
        }
        let client = Qdrant::new(config.clone()).map_err(|_| Error::Uri)?;
        Ok(Self(Arc::new(Line {
            client: RwLock::new((0, client)),
            config,
            read_timeout: options.read_timeout,
            write_timeout: options.write_timeout,
            ready: AtomicBool::new(false),
        })))
    }

    fn client(&self) -> (u64, Qdrant) {
        let client = self.0.client.read();
        client.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on calls connect anew, unless another call has seen to that.
    fn renew(&self, number: u64) {
        let client = self.0.client.write();
        let mut client = client.unwrap_or_else(PoisonError::into_inner);
        if client.0 == number
            && let Ok(fresh) = Qdrant::new(self.0.config.clone())
        {
            *client = (number + 1, fresh);
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Relaxed)
    }

    /// The server's version.
    pub(super) async fn version(&self) -> Result<String, Error> {
        let reply = self
            .read("health check", (), |client, ()| async move {
                client.health_check().await
            })
            .await?;
        Ok(reply.version)
    }

    /// Opens the gate `qdrant` once the server has answered and is new enough.
    pub(super) fn watch(&self, life: &Lifecycle) {
        let watched = self.clone();
        let (gate, stop) = (life.gate("qdrant"), life.soft_stop());
        life.spawn("vector.qdrant", async move {
            stop.run_until_cancelled(watched.wait(gate)).await;
        });
    }

    async fn wait(self, gate: Gate) {
        let mut told = String::new();
        loop {
            let trouble = match self.version().await {
                Ok(version) if is_new_enough(&version) => {
                    tracing::info!(qdrant.version = version, "Qdrant `{version}` answers");
                    self.0.ready.store(true, Ordering::Relaxed);
                    gate.open();
                    return;
                }
                Ok(version) => {
                    let (major, minor) = MINIMUM_VERSION;
                    format!("Qdrant `{version}` is too old, this needs {major}.{minor}")
                }
                Err(error) => chain(&error).to_string(),
            };
            if trouble != told {
                tracing::warn!("waiting for Qdrant: {trouble}");
                gate.close(trouble.clone());
                told = trouble;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    pub(super) async fn read<T, R, F>(
        &self,
        operation: &'static str,
        request: R,
        call: impl Fn(Qdrant, R) -> F,
    ) -> Result<T, Error>
    where
        R: Clone,
        F: Future<Output = Result<T, QdrantError>>,
    {
        self.call(operation, self.0.read_timeout, request, call)
            .await
    }

    pub(super) async fn write<T, R, F>(
        &self,
        operation: &'static str,
        request: R,
        call: impl Fn(Qdrant, R) -> F,
    ) -> Result<T, Error>
    where
        R: Clone,
        F: Future<Output = Result<T, QdrantError>>,
    {
        self.call(operation, self.0.write_timeout, request, call)
            .await
    }

    /// Calls, and calls once more when the connection was broken: the channel connects anew by
    /// itself, but gives the request that noticed the break back. Every request may be repeated,
    /// as ids are derived.
    async fn call<T, R, F>(
        &self,
        operation: &'static str,
        timeout: Duration,
        request: R,
        call: impl Fn(Qdrant, R) -> F,
    ) -> Result<T, Error>
    where
        R: Clone,
        F: Future<Output = Result<T, QdrantError>>,
    {
        let (number, client) = self.client();
        let attempts = async {
            match call(client.clone(), request.clone()).await {
                Err(error) if is_broken(&error) => call(client.clone(), request).await,
                answer => answer,
            }
        };
        match tokio::time::timeout(timeout, attempts).await {
            Ok(answer) => answer.map_err(|source| Error::Qdrant {
                operation,
                source: Box::new(source),
            }),
            Err(_) => {
                self.renew(number);
                Err(Error::QdrantTimeout { operation })
            }
        }
    }
}

/// `qdrant://` is plain, `qdrants://` has TLS; the URLs of Qdrant's own clients are taken too.
pub(super) fn http_url(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once("://")?;
    let scheme = match scheme {
        "qdrant" | "http" => "http",
        "qdrants" | "https" => "https",
        _ => return None,
    };
    let host = rest.trim_end_matches('/');
    let url: http::Uri = format!("{scheme}://{host}").parse().ok()?;
    let authority = url.authority()?;
    // The port of the gRPC interface, not of the REST one.
    let port = authority.port_u16().unwrap_or(6334);
    (!authority.host().is_empty() && authority.as_str().find('@').is_none())
        .then(|| format!("{scheme}://{}:{port}", authority.host()))
}

/// Whether `uri` names a Qdrant server.
pub(crate) fn is_qdrant(uri: &str) -> bool {
    http_url(uri).is_some()
}

pub(super) fn is_new_enough(version: &str) -> bool {
    let mut parts = version
        .trim_start_matches('v')
        .split(['.', '-', '+'])
        .map_while(|part| part.parse::<u32>().ok());
    parts
        .next()
        .zip(parts.next())
        .is_some_and(|found| found >= MINIMUM_VERSION)
}

/// The code of the server's answer, as gRPC numbers it.
pub(super) fn code(error: &QdrantError) -> Option<i32> {
    match error {
        QdrantError::ResponseError { status }
        | QdrantError::ResourceExhaustedError { status, .. } => Some(status.code().into()),
        _ => None,
    }
}

/// `NOT_FOUND`.
pub(super) fn is_not_found(error: &QdrantError) -> bool {
    code(error) == Some(5)
}

/// What a collection is answered with before it has its parts: `INTERNAL`, because of none of none.
pub(super) fn is_being_made(error: &QdrantError) -> bool {
    match error {
        QdrantError::ResponseError { status } => {
            i32::from(status.code()) == 13
                && status.message().contains("0 of 0 read operations failed")
        }
        _ => false,
    }
}

/// `ALREADY_EXISTS`; older parts of the server say `INVALID_ARGUMENT` for it.
pub(super) fn is_already_there(error: &QdrantError) -> bool {
    match error {
        QdrantError::ResponseError { status } => {
            i32::from(status.code()) == 6 || status.message().contains("already exists")
        }
        _ => false,
    }
}

/// `UNAVAILABLE`, or `UNKNOWN`, which the transport says when it cannot connect.
fn is_broken(error: &QdrantError) -> bool {
    matches!(code(error), Some(2 | 14)) || is_unreachable(error)
}

/// The client says `INTERNAL` when it cannot connect for the first time.
fn is_unreachable(error: &QdrantError) -> bool {
    matches!(error, QdrantError::ResponseError { status }
        if i32::from(status.code()) == 13 && status.message().starts_with("Failed to connect"))
}

/// What an answer of the server means to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nobody answers.
    Away,
    /// No answer in time.
    Late,
    /// The API key is missing or wrong.
    Refused,
    /// The server's disk is full.
    Full,
    /// Too much for the server.
    Busy,
    /// Something broke inside of it.
    Broken,
    /// It did not take what we sent: a defect of ours.
    Rejected,
}

/// Judges an error of the client.
pub(crate) fn verdict(error: &QdrantError) -> Verdict {
    let message = match error {
        QdrantError::ResponseError { status }
        | QdrantError::ResourceExhaustedError { status, .. } => status.message(),
        QdrantError::Io(_) => return Verdict::Away,
        _ => "",
    };
    if message.contains("No space left") || message.contains("out of disk space") {
        return Verdict::Full;
    }
    match code(error) {
        Some(13) if is_unreachable(error) => Verdict::Away,
        // CANCELLED, UNKNOWN and UNAVAILABLE.
        Some(1 | 2 | 14) => Verdict::Away,
        Some(4) => Verdict::Late,
        Some(8) => Verdict::Busy,
        // PERMISSION_DENIED and UNAUTHENTICATED.
        Some(7 | 16) => Verdict::Refused,
        // INTERNAL and DATA_LOSS.
        Some(13 | 15) => Verdict::Broken,
        _ => Verdict::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_addresses_that_people_write() {
        for (uri, url) in [
            ("qdrant://db", Some("http://db:6334")),
            ("qdrant://db:7000/", Some("http://db:7000")),
            ("qdrants://db:443", Some("https://db:443")),
            ("http://127.0.0.1:6334", Some("http://127.0.0.1:6334")),
            ("https://[::1]:6334", Some("https://[::1]:6334")),
            ("qdrant://", None),
            ("qdrant://key@db", None),
            ("postgres://db", None),
            ("db:6334", None),
        ] {
            assert_eq!(http_url(uri).as_deref(), url, "{uri}");
        }
    }

    #[test]
    fn refuses_servers_that_cannot_score_per_tenant() {
        for (version, good) in [
            ("1.19.0", true),
            ("1.20.3", true),
            ("v2.0.0", true),
            ("1.19.0-dev", true),
            ("1.18.9", false),
            ("0.99.0", false),
            ("", false),
            ("dev", false),
        ] {
            assert_eq!(is_new_enough(version), good, "{version}");
        }
    }
}
