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
    /// `synced_total`: messages that were read to keep channels in step.
    pub synced: Counter,
    /// `rescans_total`: channels whose changes were lost, so that they were read again.
    pub rescans: Counter,
    /// `documents_total`: documents that were made, changed or deleted for posts.
    pub documents: Counter,
    /// `given_up_total`: posts that the document service refused for good.
    pub given_up: Counter,
    /// `flood_waits_total`: waits that Telegram had to ask for.
    pub flood_waits: Counter,
}

impl Metrics {
    /// Declares them.
    pub fn new(scope: &Scope) -> Self {
        Self {
            posts: scope.counter("posts", "Posts that were read for callers"),
            synced: scope.counter("synced", "Messages that were read to keep channels in step"),
            rescans: scope.counter("rescans", "Channels that were read again from the start"),
            documents: scope.counter("documents", "Documents made, changed or deleted for posts"),
            given_up: scope.counter(
                "given_up",
                "Posts that the document service refused for good",
            ),
            authorized: scope.gauge("authorized", "1 while the account is logged in"),
            flood_waits: scope.counter("flood_waits", "Waits that Telegram had to ask for"),
        }
    }
}
