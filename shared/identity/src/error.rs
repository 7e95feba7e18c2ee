use std::time::Duration;

use touchstone_error::{Classify, ErrorKind};

use crate::KeySourceError;

/// Why a caller is not let through.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No credential was shown.
    #[error("send `Authorization: Bearer <access token>` or `X-API-Key: <key>`")]
    Missing,
    /// The credential does not hold. The reason is not told.
    #[error("the credential is not valid; log in again or refresh it")]
    Invalid,
    /// The caller is known and may not do this.
    #[error("this needs another role")]
    Forbidden,
    /// The credential could not be judged.
    #[error("credentials cannot be verified at the moment")]
    Unavailable(#[source] KeySourceError),
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing | Self::Invalid => ErrorKind::Unauthenticated,
            Self::Forbidden => ErrorKind::Forbidden,
            Self::Unavailable(_) => ErrorKind::Unavailable,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Missing => "auth.missing_credential",
            Self::Invalid => "auth.invalid_credential",
            Self::Forbidden => "auth.forbidden",
            Self::Unavailable(_) => "auth.unavailable",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::Unavailable(_)).then_some(Duration::from_secs(1))
    }
}
