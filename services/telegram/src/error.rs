//! What can go wrong, and what it means to the caller.

use std::time::Duration;

use touchstone_error::{Classify, ErrorKind};

use crate::account::CallError;
use crate::domain::target::TargetError;

/// What to do when the session is not logged in.
pub(crate) const LOG_IN: &str = "Session is not authorized: log in with Telethon, save its \
    StringSession as SESSION together with TELEGRAM_API_ID and TELEGRAM_API_HASH, and restart; \
    without SESSION the simulated data centre is used";

/// An operation's failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// The text names no channel.
    #[error("{0}")]
    Target(#[from] TargetError),
    /// No such channel.
    #[error("there is no channel `{0}`")]
    UnknownChannel(String),
    /// The name belongs to a person.
    #[error("that is a user or a bot, not a channel")]
    NotAChannel,
    /// Only for members.
    #[error("the channel is private: join it with an invite link first")]
    PrivateChannel,
    /// Nobody is invited by this link.
    #[error("the invite link is wrong or has expired")]
    BadInvite,
    /// The caller does not follow it.
    #[error("this channel is not followed")]
    NotFollowed,
    /// No such export.
    #[error("there is no such file")]
    UnknownFile,
    /// No such media.
    #[error("there is no media at this post")]
    UnknownMedia,
    /// Telegram did not do it.
    #[error("Telegram did not do it")]
    Call(#[source] CallError),
    /// What is known of channels could not be read or written.
    #[error("the store of channels failed")]
    Store(#[from] touchstone_store::Error),
    /// An export could not be written or read.
    #[error("the exports' folder failed")]
    Files(#[from] std::io::Error),
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error.refusal() {
            Some("CHANNEL_PRIVATE" | "CHAT_ADMIN_REQUIRED" | "CHANNEL_PUBLIC_GROUP_NA") => {
                Self::PrivateChannel
            }
            Some("CHANNEL_INVALID" | "PEER_ID_INVALID") => {
                Self::UnknownChannel("with this id".into())
            }
            _ => Self::Call(error),
        }
    }
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::Target(_) | Self::BadInvite | Self::NotAChannel => {
                ErrorKind::Unprocessable
            }
            Self::UnknownChannel(_)
            | Self::NotFollowed
            | Self::UnknownFile
            | Self::UnknownMedia => ErrorKind::NotFound,
            Self::PrivateChannel => ErrorKind::Forbidden,
            Self::Call(CallError::Flood(_)) => ErrorKind::TooManyRequests,
            Self::Call(CallError::NotAuthorized | CallError::Duplicated) => ErrorKind::Conflict,
            Self::Call(CallError::Timeout) => ErrorKind::Timeout,
            Self::Call(_) => ErrorKind::Unavailable,
            Self::Store(error) => error.kind(),
            Self::Files(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                ErrorKind::StorageFull
            }
            Self::Files(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Invalid(_) | Self::Target(_) => "request.invalid",
            Self::UnknownChannel(_) => "telegram.channel_not_found",
            Self::NotAChannel => "telegram.not_a_channel",
            Self::PrivateChannel => "telegram.channel_private",
            Self::BadInvite => "telegram.bad_invite",
            Self::NotFollowed => "telegram.not_followed",
            Self::UnknownFile => "telegram.unknown_file",
            Self::UnknownMedia => "telegram.unknown_media",
            Self::Call(CallError::Flood(_)) => "telegram.flood_wait",
            Self::Call(CallError::NotAuthorized) => "telegram.not_authorized",
            Self::Call(CallError::Duplicated) => "telegram.session_in_use",
            Self::Call(CallError::Standby) => "telegram.standby",
            Self::Call(CallError::Timeout) => "telegram.timeout",
            Self::Call(CallError::Refused { .. } | CallError::Moved(_) | CallError::Unreadable) => {
                "telegram.refused"
            }
            Self::Call(CallError::Unreachable(_)) => "telegram.unreachable",
            Self::Store(error) => error.code(),
            Self::Files(_) => "telegram.exports_failed",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Call(CallError::Flood(wait)) => Some(*wait),
            Self::Call(CallError::Unreachable(_) | CallError::Standby) => {
                Some(Duration::from_secs(2))
            }
            Self::Store(error) => error.retry_after(),
            _ => None,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Call(CallError::NotAuthorized) => LOG_IN.to_owned(),
            Self::Call(CallError::Duplicated) => "the session is used elsewhere at the same time: \
                stop the other program, or give this service a session of its own"
                .to_owned(),
            Self::Call(error) => error.to_string(),
            Self::Store(error) => error.detail(),
            other => other.to_string(),
        }
    }
}
