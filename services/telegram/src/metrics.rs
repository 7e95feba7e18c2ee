//! Every metric of the service.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use touchstone_telemetry::Scope;

/// The handles; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// `posts_total`: posts that were read for callers.
    pub posts: Counter,
    /// `authorized`: 1 while the account is logged in.
    pub authorized: Gauge,
    /// `flood_waits`: waits that Telegram had to ask for.
    pub flood_waits: Gauge,
}

impl Metrics {
    /// Declares them.
    pub fn new(scope: &Scope) -> Self {
        Self {
            posts: scope.counter("posts", "Posts that were read for callers"),
            authorized: scope.gauge("authorized", "1 while the account is logged in"),
            flood_waits: scope.gauge("flood_waits", "Waits that Telegram had to ask for"),
        }
    }
}
