use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use touchstone_types::Clock;

use crate::scope::skew_ms;

/// A clock that is off while a request is dealt with that a fault strikes.
#[derive(Debug)]
pub(crate) struct FaultyClock(pub Arc<dyn Clock>);

impl Clock for FaultyClock {
    fn now(&self) -> DateTime<Utc> {
        self.0.now() + TimeDelta::milliseconds(skew_ms())
    }
}
