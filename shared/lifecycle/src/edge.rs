use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::Tls;

/// What the connections of a listener may take. The defaults are those of the ports among
/// services; the public edge brings its own.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Most connections.
    pub connections: usize,
    /// Most connections of one address (of one /64 network for IPv6).
    pub connections_per_address: usize,
    /// Longest time for a TLS handshake, for the head of a request, and to the first request.
    pub head_timeout: Duration,
    /// Longest time between two requests.
    pub idle_timeout: Duration,
    /// How long a client of HTTP/1 may still ask on an open connection once the server stops; the
    /// answer tells it that it is the last one. A connection that is closed at once may be in use
    /// already: its client cannot tell whether the request was seen.
    pub farewell: Duration,
    /// Longest silence inside the body of a request.
    pub body_silence: Duration,
    /// Least bytes per second of the body of a request, once `body_grace` has passed.
    pub body_rate: u64,
    /// How long the body of a request may be slower than `body_rate`.
    pub body_grace: Duration,
    /// Longest time in which a client takes nothing of a response that waits for it.
    pub reader_silence: Duration,
    /// Largest head of a request.
    pub head_bytes: u32,
    /// Most requests at a time on an HTTP/2 connection.
    pub streams: u32,
    /// Certificates; without, connections are not encrypted.
    pub tls: Option<Tls>,
    /// What happens to connections.
    pub metrics: EdgeMetrics,
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_address: usize::MAX,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            farewell: Duration::from_millis(250),
            body_silence: Duration::from_secs(30),
            body_rate: 240,
            body_grace: Duration::from_secs(10),
            reader_silence: Duration::from_secs(30),
            head_bytes: 64 * 1024,
            streams: 200,
            tls: None,
            metrics: EdgeMetrics::default(),
        }
    }
}

/// What happens to the connections of a listener.
#[derive(Clone, Debug, Default)]
pub struct EdgeMetrics {
    /// Connections that are open.
    pub open: Gauge,
    /// Connections that were refused or dropped, by reason.
    pub ended: Family<Reason, Counter>,
}

impl EdgeMetrics {
    pub(crate) fn count(&self, reason: &'static str) {
        self.ended.get_or_create(&Reason { reason }).inc();
    }
}

/// Why a connection was refused or dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// `limit`, `address_limit`, `handshake`, `no_request`, `slow_head`, `slow_body`,
    /// `slow_reader`, `two_lengths` or `resets`.
    pub reason: &'static str,
}
