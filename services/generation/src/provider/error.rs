use std::time::Duration;

use touchstone_error::{Classify, ErrorKind};

/// A provider did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too much at once, here or there.
    #[error("the language model is overloaded")]
    Overloaded {
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// The server said no to the request itself; trying again will not help.
    #[error("the language model refused the request with status {status}")]
    Refused {
        /// The status.
        status: u16,
        /// What it said, for the log.
        reason: String,
    },
    /// The server failed or cannot be reached.
    #[error("the language model is not available")]
    Unavailable(String),
    /// No token in time.
    #[error("the language model was too slow: no {0} in time")]
    Slow(&'static str),
    /// The stream ended before its end.
    #[error("the language model broke off")]
    BrokenOff(String),
    /// The stream cannot be read.
    #[error("the answer of the language model cannot be read")]
    Unreadable(String),
}

impl Error {
    /// What the log should hold beyond the message.
    pub fn reason(&self) -> &str {
        match self {
            Self::Refused { reason, .. }
            | Self::Unavailable(reason)
            | Self::BrokenOff(reason)
            | Self::Unreadable(reason) => reason,
            Self::Overloaded { .. } | Self::Slow(_) => "",
        }
    }
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Slow(_) => ErrorKind::Timeout,
            Self::Overloaded { .. }
            | Self::Refused { .. }
            | Self::Unavailable(_)
            | Self::BrokenOff(_)
            | Self::Unreadable(_) => ErrorKind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Overloaded { .. } => "generation.provider_overloaded",
            Self::Refused { .. } => "generation.provider_refused",
            Self::Unavailable(_) => "generation.provider_unavailable",
            Self::Slow(_) => "generation.provider_slow",
            Self::BrokenOff(_) => "generation.provider_broke_off",
            Self::Unreadable(_) => "generation.provider_unreadable",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded { retry_after } => retry_after.or(Some(Duration::from_secs(1))),
            Self::Refused { .. } => None,
            _ => Some(Duration::from_secs(1)),
        }
    }
}
