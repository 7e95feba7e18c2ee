use std::sync::Arc;
use std::time::Duration;

use touchstone_error::{Classify, ErrorKind};

use crate::Class;

/// A policy ended a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The upstream failed too often; nothing was sent.
    #[error("`{upstream}` fails too often to be called")]
    BreakerOpen {
        /// Whom.
        upstream: Arc<str>,
        /// When a call may pass again.
        retry_after: Duration,
    },
    /// As much work as the upstream can take is under way; nothing was sent.
    #[error("`{upstream}` has as much {} work as it can take", class.as_str())]
    Overloaded {
        /// Whom.
        upstream: Arc<str>,
        /// What was asked for.
        class: Class,
        /// When to come back, jittered.
        retry_after: Duration,
    },
    /// Less time is left than the upstream usually takes; nothing was sent.
    #[error("too little time is left to ask `{upstream}`")]
    TooLate {
        /// Whom.
        upstream: Arc<str>,
    },
    /// The deadline passed while the upstream was asked.
    #[error("`{upstream}` did not answer in time")]
    TimedOut {
        /// Whom.
        upstream: Arc<str>,
    },
    /// No instance of the upstream is known.
    #[error("no instance of `{upstream}` is known")]
    NoInstance {
        /// Whom.
        upstream: Arc<str>,
    },
}

impl Rejected {
    /// Whether the upstream saw nothing of the call.
    pub const fn never_sent(&self) -> bool {
        !matches!(self, Self::TimedOut { .. })
    }

    /// Whom the call was for.
    pub const fn upstream(&self) -> &Arc<str> {
        match self {
            Self::BreakerOpen { upstream, .. }
            | Self::Overloaded { upstream, .. }
            | Self::TooLate { upstream }
            | Self::TimedOut { upstream }
            | Self::NoInstance { upstream } => upstream,
        }
    }
}

impl Classify for Rejected {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLate { .. } | Self::TimedOut { .. } => ErrorKind::Timeout,
            _ => ErrorKind::Unavailable,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::BreakerOpen { .. } => "service.breaker_open",
            Self::Overloaded { .. } => "service.overloaded",
            Self::TooLate { .. } => "service.too_late",
            Self::TimedOut { .. } => "service.timeout",
            Self::NoInstance { .. } => "service.no_instance",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::BreakerOpen { retry_after, .. } | Self::Overloaded { retry_after, .. } => {
                Some(*retry_after)
            }
            Self::NoInstance { .. } => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}
