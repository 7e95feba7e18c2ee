use std::time::Duration;

use touchstone_resilience::bulkhead;
use touchstone_resilience::upstream::Config;

/// How calls among services are protected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Protection {
    /// Longest call whose caller has set no deadline.
    pub deadline: Duration,
    /// The policies around the calls of each service.
    pub policies: Config,
}

impl Default for Protection {
    /// The places are many: a service bounds its own work, and these only stop what has run away.
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            policies: Config {
                bulkhead: bulkhead::Config {
                    most: 1024,
                    queue: 256,
                    ..bulkhead::Config::default()
                },
                ..Config::default()
            },
        }
    }
}
