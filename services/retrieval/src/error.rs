use std::borrow::Cow;
use std::time::Duration;

use touchstone_client::ClientError;
use touchstone_error::{Classify, ErrorKind};

/// Everything that can go wrong in retrieval.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field breaks a rule of the request's form.
    #[error("`{field}`: {reason}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// Which rule.
        reason: Cow<'static, str>,
    },
    /// The mode needs dense vectors.
    #[error("dense search is off: no embedding model is active")]
    DenseOff,
    /// The chunks lack vectors of the active model.
    #[error("the chunks have no vectors of the active model; run `touchstone reindex`")]
    DenseMissing(#[source] ClientError),
    /// The question has no vectors.
    #[error("the question cannot be embedded")]
    Embedding(#[source] ClientError),
    /// No candidates.
    #[error("the vector store does not answer")]
    Vector(#[source] ClientError),
    /// The ranking stopped in the middle.
    #[error("the ranking stopped in the middle")]
    Ranking(#[source] tokio::task::JoinError),
}

impl Error {
    /// A field breaks a rule.
    pub fn invalid(field: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid {
            field,
            reason: reason.into(),
        }
    }
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } => ErrorKind::Unprocessable,
            Self::DenseOff | Self::DenseMissing(_) => ErrorKind::Conflict,
            // What a neighbour finds wrong with our request is a defect of ours.
            Self::Embedding(error) | Self::Vector(error) => match error.kind() {
                ErrorKind::Timeout => ErrorKind::Timeout,
                ErrorKind::Unavailable | ErrorKind::TooManyRequests | ErrorKind::StorageFull => {
                    ErrorKind::Unavailable
                }
                _ => ErrorKind::Internal,
            },
            Self::Ranking(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Invalid { .. } => "request.invalid",
            Self::DenseOff => "retrieval.dense_off",
            Self::DenseMissing(_) => "retrieval.dense_missing",
            Self::Embedding(_) => "retrieval.embedding_failed",
            Self::Vector(_) => "retrieval.vector_failed",
            Self::Ranking(_) => "retrieval.internal",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Embedding(error) | Self::Vector(error) => error.retry_after(),
            _ => None,
        }
    }

    fn failed_below(&self) -> Option<&str> {
        match self {
            Self::Embedding(error) | Self::Vector(error) => error.failed_below(),
            _ => None,
        }
    }
}
