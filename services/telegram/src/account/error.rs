//! How a call to Telegram can end.

use std::time::Duration;

use grammers_mtsender::InvocationError;

/// A call had no answer, or the answer was no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Telegram wants calls to wait, or the governor expects it to.
    #[error("calls have to wait {} s", .0.as_secs())]
    Flood(Duration),
    /// The session is not logged in.
    #[error("the session is not authorized")]
    NotAuthorized,
    /// The session is used by somebody else at the same time.
    #[error("the session is used elsewhere at the same time")]
    Duplicated,
    /// Another instance of this service uses the account.
    #[error("another instance uses the account")]
    Standby,
    /// No connection, or it broke.
    #[error("Telegram cannot be reached: {0}")]
    Unreachable(&'static str),
    /// No answer in time.
    #[error("Telegram did not answer in time")]
    Timeout,
    /// Another data centre has what was asked for.
    #[error("that is at data centre {0}")]
    Moved(i32),
    /// Telegram refused.
    #[error("Telegram refused: {name} ({code})")]
    Refused {
        /// Telegram's code, like a status of HTTP.
        code: i32,
        /// Telegram's name, numbers removed.
        name: String,
    },
    /// The answer is not one that the method has.
    #[error("Telegram's answer could not be read")]
    Unreadable,
}

impl CallError {
    /// Whether the same call may succeed on a new connection.
    pub(crate) fn is_of_the_connection(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Timeout)
    }

    /// The name of a refusal, or nothing.
    pub(crate) fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused { name, .. } => Some(name),
            _ => None,
        }
    }
}

impl From<InvocationError> for CallError {
    fn from(error: InvocationError) -> Self {
        match error {
            InvocationError::Rpc(error) => match (error.code, error.name.as_str()) {
                // Without a time it is no wait: an account that is frozen is told so, too.
                (420, _) if error.value.is_some() => {
                    let seconds = error.value.unwrap_or_default();
                    Self::Flood(Duration::from_secs(u64::from(seconds)))
                }
                (303, "FILE_MIGRATE") => Self::Moved(
                    error
                        .value
                        .and_then(|dc| i32::try_from(dc).ok())
                        .unwrap_or(0),
                ),
                (401, _) => Self::NotAuthorized,
                (406, "AUTH_KEY_DUPLICATED") => Self::Duplicated,
                (code, _) => Self::Refused {
                    code,
                    name: error.name,
                },
            },
            InvocationError::Io(_) => Self::Unreachable("the connection failed"),
            InvocationError::Dropped(_) => Self::Unreachable("the connection ended"),
            InvocationError::Transport(_) => Self::Unreachable("the transport was refused"),
            InvocationError::Authentication(_) => Self::NotAuthorized,
            InvocationError::Deserialize(_) => Self::Unreadable,
            _ => Self::Unreachable("the client has no connection"),
        }
    }
}

#[cfg(test)]
mod tests {
    use grammers_mtsender::RpcError;

    use super::*;

    fn told(code: i32, name: &str, value: Option<u32>) -> CallError {
        let error = RpcError {
            code,
            name: name.into(),
            value,
            caused_by: None,
        };
        InvocationError::Rpc(error).into()
    }

    #[test]
    fn only_a_refusal_with_a_time_is_a_wait() {
        for name in ["FLOOD_WAIT", "FLOOD_PREMIUM_WAIT"] {
            let wait = CallError::Flood(Duration::from_secs(31));
            assert_eq!(told(420, name, Some(31)), wait);
        }
        let frozen = told(420, "FROZEN_METHOD_INVALID", None);
        assert_eq!(frozen.refusal(), Some("FROZEN_METHOD_INVALID"));
    }
}
