use std::time::Duration;

use serde::{Deserialize, Serialize};
use touchstone_config::Problems;

/// WebSockets that are passed through.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebSocketConfig {
    /// Most of them.
    pub connections: usize,
    /// Longest silence in both directions.
    #[serde(with = "humantime_serde")]
    pub idle: Duration,
    /// How often the credential is judged again.
    #[serde(with = "humantime_serde")]
    pub judge: Duration,
    /// How long a client may take to answer a close.
    #[serde(with = "humantime_serde")]
    pub farewell: Duration,
}

impl WebSocketConfig {
    pub(crate) fn check(&self, problems: &mut Problems) {
        let zero = [
            ("websocket.idle", self.idle),
            ("websocket.judge", self.judge),
        ];
        for (key, value) in zero {
            problems.check(!value.is_zero(), key, "must be positive");
        }
        problems.check(
            self.judge <= Duration::from_secs(30),
            "websocket.judge",
            "must be <= 30s, the longest that an expired token may be used",
        );
    }
}
