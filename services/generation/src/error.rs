use std::time::Duration;

use touchstone_client::ClientError;
use touchstone_error::{Classify, ErrorKind};

use crate::provider;

/// Everything that can go wrong in generation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field breaks a rule of the request's form.
    #[error("`{field}`: {reason}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// Which rule.
        reason: &'static str,
    },
    /// The request names a provider that is not there.
    #[error("`provider`: there is no provider `{0}`; `GET /providers` lists them")]
    UnknownProvider(String),
    /// A chat request names a model that is not there.
    #[error("there is no model `{0}`; `GET /v1/models` lists them")]
    UnknownModel(String),
    /// No such conversation of this caller.
    #[error("there is no such conversation")]
    UnknownConversation,
    /// The search failed.
    #[error("the documents cannot be searched")]
    Retrieval(#[source] ClientError),
    /// The provider failed.
    #[error("the language model failed")]
    Provider(#[source] provider::Error),
    /// The conversations cannot be read or written.
    #[error("the conversation store failed")]
    Store(#[source] touchstone_store::Error),
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } => ErrorKind::Unprocessable,
            Self::UnknownProvider(_) | Self::UnknownModel(_) | Self::UnknownConversation => {
                ErrorKind::NotFound
            }
            Self::Retrieval(source) => match source.kind() {
                // The filter is the caller's own words; the rest is between the services.
                kind @ (ErrorKind::Unprocessable
                | ErrorKind::TooManyRequests
                | ErrorKind::Timeout
                | ErrorKind::Internal) => kind,
                _ => ErrorKind::Unavailable,
            },
            Self::Provider(source) => source.kind(),
            Self::Store(source) => source.kind(),
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Invalid { .. } => "request.invalid",
            Self::UnknownProvider(_) => "generation.unknown_provider",
            Self::UnknownModel(_) => "generation.unknown_model",
            Self::UnknownConversation => "generation.unknown_conversation",
            Self::Retrieval(source) if source.kind() == ErrorKind::Unprocessable => source.code(),
            Self::Retrieval(_) => "generation.retrieval_failed",
            Self::Provider(source) => source.code(),
            Self::Store(source) => source.code(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Retrieval(source) => source.retry_after(),
            Self::Provider(source) => source.retry_after(),
            Self::Store(source) => source.retry_after(),
            _ => None,
        }
    }

    fn failed_below(&self) -> Option<&str> {
        match self {
            Self::Retrieval(source) => source.failed_below(),
            _ => None,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Retrieval(source) if source.kind() == ErrorKind::Unprocessable => source.detail(),
            Self::Provider(source) => source.to_string(),
            other => other.to_string(),
        }
    }
}

impl From<touchstone_store::Error> for Error {
    fn from(error: touchstone_store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<provider::Error> for Error {
    fn from(error: provider::Error) -> Self {
        Self::Provider(error)
    }
}
