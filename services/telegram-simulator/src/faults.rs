//! Faults on demand, and the proof that they fired.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::scenario::Limit;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// A call is answered with `FLOOD_WAIT_<seconds>`.
    Flood {
        /// Seconds to wait.
        seconds: u32,
    },
    /// A call is answered with this error.
    Error {
        /// E.g. 400.
        code: i32,
        /// E.g. `CHANNEL_PRIVATE`.
        message: String,
    },
    /// A call is answered after this time.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// The connection is reset when a call comes.
    Reset,
    /// The connection stays open, and nothing is read or written any more.
    HalfOpen,
    /// The packet is answered by a status of the transport: 404 (unknown key) or 429 (flood).
    Transport {
        /// The status.
        status: i32,
    },
    /// A call is answered with 406 `AUTH_KEY_DUPLICATED`: the session is used elsewhere.
    DuplicateKey,
    /// A message for another session is sent.
    WrongSession,
    /// The salt changes, so that the next message of the client carries a wrong one.
    SaltRotation,
    /// File references that were given out so far expire.
    FileReferences,
    /// An update is not sent.
    DropPush,
    /// An update is sent after the one that follows it.
    Reorder,
    /// An update is replaced by `updateChannelTooLong`.
    TooLong {
        /// Whether it tells the channel's state.
        with_pts: bool,
    },
    /// An update that cannot be decoded is sent before the real one.
    MalformedUpdate,
    /// Server time is off by so much from now on.
    ClockSkew {
        /// Seconds.
        seconds: i32,
    },
}

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// When a method is called.
    Call,
    /// When an update is about to be sent.
    Push,
}

impl Fault {
    fn point(&self) -> Point {
        match self {
            Self::DropPush | Self::Reorder | Self::TooLong { .. } | Self::MalformedUpdate => {
                Point::Push
            }
            _ => Point::Call,
        }
    }

    /// Whether it strikes when updates are sent, not when methods are called.
    pub fn is_of_updates(&self) -> bool {
        self.point() == Point::Push
    }

    /// Its name, as the counts of what fired give it.
    pub fn name(&self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|value| value.get("kind")?.as_str().map(str::to_owned))
            .unwrap_or_default()
    }
}

/// A fault that waits for its occasion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Armed {
    /// What goes wrong.
    #[serde(flatten)]
    pub fault: Fault,
    /// Only on this method, e.g. `messages.getHistory`.
    #[serde(default)]
    pub method: Option<String>,
    /// Occasions to let pass.
    #[serde(default)]
    pub skip: u32,
    /// Occasions to strike.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

#[derive(Debug, Default)]
struct State {
    armed: Vec<Armed>,
    fired: BTreeMap<String, u64>,
    buckets: BTreeMap<(i64, String), Bucket>,
}

/// The armed faults and the hidden limits.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    state: Mutex<State>,
    limits: BTreeMap<String, Limit>,
}

impl Faults {
    pub(crate) fn new(limits: BTreeMap<String, Limit>) -> Self {
        Self {
            state: Mutex::default(),
            limits,
        }
    }

    /// Arms a fault.
    pub(crate) fn arm(&self, armed: Armed) {
        self.lock().armed.push(armed);
    }

    /// Disarms all.
    pub(crate) fn clear(&self) {
        self.lock().armed.clear();
    }

    /// How often each kind struck.
    pub(crate) fn fired(&self) -> BTreeMap<String, u64> {
        self.lock().fired.clone()
    }

    /// The fault that strikes now, if any.
    pub(crate) fn strike(&self, point: Point, method: Option<&str>) -> Option<Fault> {
        let mut state = self.lock();
        let mut struck = None;
        for armed in &mut state.armed {
            let meant = armed.fault.point() == point
                && (armed.method.is_none() || armed.method.as_deref() == method);
            if !meant || armed.times == 0 {
                continue;
            }
            if armed.skip > 0 {
                armed.skip -= 1;
                continue;
            }
            armed.times -= 1;
            struck = Some(armed.fault.clone());
            break;
        }
        state.armed.retain(|armed| armed.times > 0);
        if let Some(fault) = &struck {
            *state.fired.entry(fault.name()).or_default() += 1;
        }
        struck
    }

    /// Seconds that a call has to wait for a hidden limit; `None` when it may go on.
    ///
    /// `now` is in seconds of any monotonic clock.
    pub(crate) fn limited(&self, user: i64, method: &str, now: f64) -> Option<u32> {
        let (name, limit) = match self.limits.get(method) {
            Some(limit) => (method, limit),
            None => ("*", self.limits.get("*")?),
        };
        let mut state = self.lock();
        let bucket = state
            .buckets
            .entry((user, name.to_owned()))
            .or_insert_with(|| Bucket::full(limit, now));
        let wait = bucket.take(limit, now);
        if wait.is_some() {
            *state.fired.entry("limit".into()).or_default() += 1;
        }
        wait
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token bucket whose penalty grows while the client does not wait.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: f64,
    until: f64,
    strikes: i32,
}

impl Bucket {
    fn full(limit: &Limit, now: f64) -> Self {
        Self {
            tokens: limit.burst,
            at: now,
            until: now,
            strikes: 0,
        }
    }

    fn take(&mut self, limit: &Limit, now: f64) -> Option<u32> {
        self.tokens = (self.tokens + (now - self.at) * limit.rate).min(limit.burst);
        self.at = now;
        if now >= self.until && self.tokens >= 1.0 {
            self.tokens -= 1.0;
            if self.tokens >= limit.burst - 1.0 {
                // A client that has been quiet long enough starts afresh.
                self.strikes = 0;
            }
            return None;
        }
        let wait = f64::from(limit.wait) * limit.escalation.powi(self.strikes.min(20));
        self.strikes += 1;
        self.until = now + wait;
        Some(wait.ceil().clamp(1.0, 86_400.0) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_where_and_as_often_as_it_was_armed() {
        let faults = Faults::default();
        faults.arm(Armed {
            fault: Fault::Flood { seconds: 3 },
            method: Some("messages.getHistory".into()),
            skip: 1,
            times: 2,
        });
        let history = Some("messages.getHistory");
        assert_eq!(faults.strike(Point::Call, Some("help.getConfig")), None);
        assert_eq!(faults.strike(Point::Push, history), None);
        assert_eq!(faults.strike(Point::Call, history), None, "skipped");
        for _ in 0..2 {
            let struck = faults.strike(Point::Call, history);
            assert_eq!(struck, Some(Fault::Flood { seconds: 3 }));
        }
        assert_eq!(faults.strike(Point::Call, history), None);
        assert_eq!(faults.fired(), BTreeMap::from([("flood".to_owned(), 2)]));
    }

    #[test]
    fn a_hidden_limit_escalates_while_the_client_does_not_wait() {
        let limit = Limit {
            rate: 1.0,
            burst: 2.0,
            wait: 3,
            escalation: 2.0,
        };
        let faults = Faults::new(BTreeMap::from([("*".to_owned(), limit)]));
        let call = |now: f64| faults.limited(1, "users.getUsers", now);
        assert_eq!(call(0.0), None);
        assert_eq!(call(0.0), None);
        assert_eq!(call(0.1), Some(3));
        assert_eq!(call(0.2), Some(6), "it did not wait");
        assert_eq!(call(6.3), None, "it waited");
        assert_eq!(
            faults.limited(2, "users.getUsers", 0.2),
            None,
            "another user"
        );
    }
}
