use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fault::Target;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The request waits `ms`, and up to `jitter_ms` more, before it is looked at.
    Delay,
    /// It is answered with `status`, and with `Retry-After` if `retry_after` says so.
    Error,
    /// It is answered with 429 and `Retry-After`.
    RateLimit,
    /// It waits until the fault is over: what a frozen process does.
    Hang,
    /// The connection is reset before the request was looked at.
    Reset,
    /// The request is dealt with, and the connection reset in place of the answer.
    LoseAnswer,
    /// The body of the answer breaks off after `bytes`.
    Cut,
    /// The body comes in pieces of `bytes`, one every `ms`.
    Drip,
    /// One bit of the body is another one.
    Corrupt,
    /// The answer is an HTML page, as of a proxy that knows better.
    WrongType,
    /// Who shows a token is told that it does not hold.
    TokenStorm,
    /// The request takes `ms` of a processor before it is looked at.
    Cpu,
    /// `bytes` of memory are in use until its answer has been sent.
    Memory,
    /// A call cannot be made: nobody listens. Of calls only.
    Refuse,
    /// The wall clock is `ms` ahead, or behind.
    Clock,
    /// A connection of the database comes `ms` late.
    SlowDatabase,
    /// No connection of the database comes free: waits as long as that is waited for, at most `ms`.
    NoConnections,
    /// What caches hold is not found.
    CacheLoss,
    /// Queries of vectors do not find what was written in the last `ms`.
    StaleVectors,
    /// An event is taken, and never delivered.
    LoseEvent,
    /// An event is delivered twice.
    RepeatEvent,
    /// An event is taken `ms` late.
    LateEvent,
}

/// Where faults strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// A request, on the side of its server or of its client.
    Request,
    /// A look at the clock.
    Clock,
    /// A connection of the database.
    Database,
    /// A look into a cache.
    Cache,
    /// A query of vectors.
    Vectors,
    /// An event on its way to the bus.
    Event,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 22] = [
        Self::Delay,
        Self::Error,
        Self::RateLimit,
        Self::Hang,
        Self::Reset,
        Self::LoseAnswer,
        Self::Cut,
        Self::Drip,
        Self::Corrupt,
        Self::WrongType,
        Self::TokenStorm,
        Self::Cpu,
        Self::Memory,
        Self::Refuse,
        Self::Clock,
        Self::SlowDatabase,
        Self::NoConnections,
        Self::CacheLoss,
        Self::StaleVectors,
        Self::LoseEvent,
        Self::RepeatEvent,
        Self::LateEvent,
    ];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Error => "error",
            Self::RateLimit => "rate_limit",
            Self::Hang => "hang",
            Self::Reset => "reset",
            Self::LoseAnswer => "lose_answer",
            Self::Cut => "cut",
            Self::Drip => "drip",
            Self::Corrupt => "corrupt",
            Self::WrongType => "wrong_type",
            Self::TokenStorm => "token_storm",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Refuse => "refuse",
            Self::Clock => "clock",
            Self::SlowDatabase => "slow_database",
            Self::NoConnections => "no_connections",
            Self::CacheLoss => "cache_loss",
            Self::StaleVectors => "stale_vectors",
            Self::LoseEvent => "lose_event",
            Self::RepeatEvent => "repeat_event",
            Self::LateEvent => "late_event",
        }
    }

    /// Where it strikes.
    pub const fn point(self) -> Point {
        match self {
            Self::Clock => Point::Clock,
            Self::SlowDatabase | Self::NoConnections => Point::Database,
            Self::CacheLoss => Point::Cache,
            Self::StaleVectors => Point::Vectors,
            Self::LoseEvent | Self::RepeatEvent | Self::LateEvent => Point::Event,
            _ => Point::Request,
        }
    }

    /// Whether calls can have it.
    pub const fn is_of_calls(self) -> bool {
        let of_servers = matches!(self, Self::TokenStorm | Self::Cpu | Self::Memory);
        matches!(self.point(), Point::Request) && !of_servers
    }

    /// Whether requests to a server can have it.
    pub const fn is_of_servers(self) -> bool {
        !matches!(self, Self::Refuse)
    }

    /// Whether it means anything to this request: a storm strikes those who show a token.
    pub(crate) const fn may_strike(self, target: &Target) -> bool {
        !matches!(self, Self::TokenStorm) || target.has_token
    }

    /// The parameters that it reads.
    pub const fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Delay => &["ms", "jitter_ms"],
            Self::Error => &["status", "retry_after"],
            Self::RateLimit => &["retry_after"],
            Self::Cut | Self::Memory => &["bytes"],
            Self::Drip => &["ms", "bytes"],
            Self::Cpu
            | Self::Clock
            | Self::SlowDatabase
            | Self::NoConnections
            | Self::StaleVectors
            | Self::LateEvent => &["ms"],
            _ => &[],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_called_the_same_everywhere() {
        for kind in Kind::ALL {
            let wire = serde_json::to_value(kind).unwrap();
            assert_eq!(wire, kind.name());
            assert_eq!(serde_json::from_value::<Kind>(wire).unwrap(), kind);
        }
    }
}
