//! What can go wrong, and what it means to the caller.

use std::time::Duration;

use touchstone_client::ClientError;
use touchstone_error::{Classify, ErrorKind};

/// How dense vectors are turned on; told where somebody asks for them in vain.
const HOW: &str = "fetch a model with `touchstone models pull`, name it in `model.active` \
    (EMBEDDING_MODEL), restart, and run `touchstone reindex`";

/// An operation's failure.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The input breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// No such model.
    #[error("there is no model `{0}`; `GET /models` lists those that exist")]
    UnknownModel(String),
    /// No such model, and no other.
    #[error("there is no model `{0}`, and dense is off: {HOW}")]
    NoModels(String),
    /// The model exists and does something else.
    #[error("model `{0}` does not embed")]
    NotAnEmbedder(String),
    /// The active model was asked for and there is none.
    #[error("dense is off: {HOW}")]
    DenseOff,
    /// Vectors of another length were asked for.
    #[error("model `{model}` gives {has} dimensions, not {asked}")]
    Dimensions {
        /// Which model.
        model: String,
        /// Its dimension.
        has: usize,
        /// What was asked for.
        asked: usize,
    },
    /// The active model did not answer, and the vectors are to be stored: half of them is not
    /// enough.
    #[error("dense vectors are not to be had now; ask again, or with `sparse_only`")]
    DenseUnavailable(#[source] ClientError),
    /// The named model did not answer.
    #[error("the model did not answer")]
    Model(#[source] ClientError),
    /// The model's answer does not fit the question.
    #[error("model `{0}` answered with another number of vectors")]
    BadAnswer(String),
    /// The deadline passed.
    #[error("the deadline passed")]
    Deadline,
    /// The service stops.
    #[error("the service is stopping")]
    Stopping,
    /// The lexical encoder panicked.
    #[error("the lexical encoder panicked")]
    Encoder,
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::Unprocessable,
            Self::UnknownModel(_) | Self::NoModels(_) => ErrorKind::NotFound,
            Self::DenseOff | Self::NotAnEmbedder(_) | Self::Dimensions { .. } => {
                ErrorKind::Conflict
            }
            Self::DenseUnavailable(_) | Self::Stopping => ErrorKind::Unavailable,
            Self::Model(source) => source.kind(),
            Self::Deadline => ErrorKind::Timeout,
            Self::BadAnswer(_) | Self::Encoder => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Invalid(_) => "request.invalid",
            Self::UnknownModel(_) | Self::NoModels(_) => "embedding.unknown_model",
            Self::NotAnEmbedder(_) => "embedding.not_an_embedder",
            Self::DenseOff => "embedding.dense_off",
            Self::Dimensions { .. } => "embedding.dimensions",
            Self::DenseUnavailable(_) => "embedding.dense_unavailable",
            Self::Model(ClientError::Refused { problem, .. }) => &problem.code,
            Self::Model(ClientError::Timeout { .. }) | Self::Deadline => "embedding.deadline",
            Self::Model(_) => "embedding.model_unavailable",
            Self::BadAnswer(_) => "embedding.bad_answer",
            Self::Stopping => "embedding.stopping",
            Self::Encoder => "embedding.encoder_failed",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::DenseUnavailable(source) | Self::Model(source) => source.retry_after(),
            Self::Stopping => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    fn failed_below(&self) -> Option<&str> {
        match self {
            Self::DenseUnavailable(source) | Self::Model(source) => source.failed_below(),
            _ => None,
        }
    }

    fn detail(&self) -> String {
        match self {
            // What a model says of itself is more telling than that it did not answer.
            Self::Model(source @ ClientError::Refused { .. }) => source.detail(),
            other => other.to_string(),
        }
    }
}
