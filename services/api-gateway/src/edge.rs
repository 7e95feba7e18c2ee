use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use touchstone_config::Problems;
use touchstone_lifecycle::{Edge, EdgeMetrics, Tls, TlsError};
use touchstone_telemetry::Metrics as Registry;

use crate::Config;

/// Connections of the public port.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeConfig {
    /// Most of them.
    pub connections: usize,
    /// Most of them from one address.
    pub connections_per_address: usize,
    /// Longest time for a handshake, for a head, and to the first request.
    #[serde(with = "humantime_serde")]
    pub head_timeout: Duration,
    /// Longest time between two requests.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Longest silence inside the body of a request.
    #[serde(with = "humantime_serde")]
    pub body_silence: Duration,
    /// Least bytes per second of a body.
    pub body_rate: u64,
    /// How long a body may be slower.
    #[serde(with = "humantime_serde")]
    pub body_grace: Duration,
    /// Longest time in which a client takes nothing.
    #[serde(with = "humantime_serde")]
    pub reader_silence: Duration,
    /// Most requests at a time on one HTTP/2 connection.
    pub streams: u32,
    /// Chain of certificates in PEM.
    pub certificate_file: PathBuf,
    /// Key of the first of them in PEM.
    pub key_file: PathBuf,
}

impl EdgeConfig {
    pub(crate) fn check(&self, problems: &mut Problems) {
        let positive = [
            ("edge.head_timeout", self.head_timeout),
            ("edge.idle_timeout", self.idle_timeout),
            ("edge.body_silence", self.body_silence),
            ("edge.reader_silence", self.reader_silence),
        ];
        for (key, value) in positive {
            problems.check(!value.is_zero(), key, "must be positive");
        }
        problems.check(self.connections > 0, "edge.connections", "must be positive");
        problems.check(
            self.connections_per_address > 0,
            "edge.connections_per_address",
            "must be positive",
        );
        problems.check(self.streams > 0, "edge.streams", "must be positive");
        let none = |path: &PathBuf| path.as_os_str().is_empty();
        problems.check(
            none(&self.certificate_file) == none(&self.key_file),
            "edge",
            "`certificate_file` (TLS_CERT_FILE) and `key_file` (TLS_KEY_FILE) belong together",
        );
    }
}

/// What the public port is served with.
///
/// # Errors
/// [`TlsError`] when the certificate or the key cannot be used.
pub fn edge(config: &Config, registry: &Registry) -> Result<Edge, TlsError> {
    let edge = &config.edge;
    let tls = if edge.certificate_file.as_os_str().is_empty() {
        None
    } else {
        Some(Tls::load(&edge.certificate_file, &edge.key_file)?)
    };
    let metrics = EdgeMetrics::default();
    let scope = registry.scope("gateway");
    scope.register(
        "open_connections",
        "Connections that are open",
        metrics.open.clone(),
    );
    scope.register(
        "connections_ended",
        "Connections that were refused or dropped",
        metrics.ended.clone(),
    );
    // A little more than the caps on headers, which answer with a problem.
    let head = config.headers.bytes.as_u64().saturating_mul(2);
    Ok(Edge {
        connections: edge.connections,
        connections_per_address: edge.connections_per_address,
        head_timeout: edge.head_timeout,
        idle_timeout: edge.idle_timeout,
        body_silence: edge.body_silence,
        body_rate: edge.body_rate,
        body_grace: edge.body_grace,
        reader_silence: edge.reader_silence,
        head_bytes: u32::try_from(head).unwrap_or(u32::MAX),
        streams: edge.streams,
        tls,
        metrics,
        ..Edge::default()
    })
}
