//! What can go wrong, and what it means to the caller.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use touchstone_error::{Classify, ErrorKind};

use crate::runtime::{ComputeError, LoadError};

/// An operation's failure.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No such model.
    #[error("there is no model `{0}`")]
    UnknownModel(String),
    /// The model is known and not in memory.
    #[error("model `{0}` is not loaded; an administrator loads it with `POST /models/{0}/load`")]
    NotLoaded(String),
    /// The model could not be loaded when that was last tried.
    #[error("model `{id}` could not be loaded: {reason}")]
    Failed {
        /// Which.
        id: String,
        /// Why.
        reason: Arc<str>,
    },
    /// The load that was just asked for failed.
    #[error("model `{id}` could not be loaded: {}", touchstone_error::chain(.reason.as_ref()))]
    Load {
        /// Which.
        id: String,
        /// Why; told in the message, because who loads a model has to know.
        reason: Arc<LoadError>,
    },
    /// The model does something else.
    #[error("model `{id}` does not {wanted}")]
    WrongTask {
        /// Which.
        id: String,
        /// What was asked of it.
        wanted: &'static str,
    },
    /// The model is on its way into memory.
    #[error("model `{0}` is being loaded; unload it after that")]
    Loading(String),
    /// The weights do not fit.
    #[error(
        "model `{id}` wants {wanted} of memory and {free} are left; unload another or raise `model.memory_limit`"
    )]
    MemoryLimit {
        /// Which.
        id: String,
        /// Size of its weights.
        wanted: bytesize::ByteSize,
        /// What the limit leaves.
        free: bytesize::ByteSize,
    },
    /// The input breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// Too many requests wait.
    #[error("all workers are busy and the queue is full")]
    Overloaded,
    /// A computation failed.
    #[error("model `{id}` did not answer")]
    Compute {
        /// Which.
        id: String,
        /// Why.
        #[source]
        source: Arc<ComputeError>,
    },
    /// A computation panicked.
    #[error("a computation of model `{0}` panicked")]
    Panicked(String),
    /// The caller may not do this.
    #[error("only administrators load and unload models")]
    Forbidden,
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownModel(_) => ErrorKind::NotFound,
            Self::NotLoaded(_)
            | Self::Failed { .. }
            | Self::Loading(_)
            | Self::WrongTask { .. }
            | Self::MemoryLimit { .. } => ErrorKind::Conflict,
            Self::Load { reason, .. } if reason.is_transient() => ErrorKind::Unavailable,
            Self::Load { .. } | Self::Invalid(_) => ErrorKind::Unprocessable,
            Self::Overloaded => ErrorKind::Unavailable,
            Self::Compute { source, .. } => source.kind(),
            Self::Panicked(_) => ErrorKind::Internal,
            Self::Forbidden => ErrorKind::Forbidden,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::UnknownModel(_) => "model.unknown_model",
            Self::NotLoaded(_) => "model.not_loaded",
            Self::Failed { .. } => "model.failed",
            Self::Load { reason, .. } if reason.is_transient() => "model.upstream_unavailable",
            Self::Load { .. } => "model.load_failed",
            Self::WrongTask { .. } => "model.wrong_task",
            Self::Loading(_) => "model.loading",
            Self::MemoryLimit { .. } => "model.memory_limit",
            Self::Invalid(_) => "request.invalid",
            Self::Overloaded => "model.overloaded",
            Self::Compute { source, .. } => match source.as_ref() {
                ComputeError::Unreachable(_) => "model.upstream_unreachable",
                ComputeError::Refused { .. } => "model.upstream_refused",
                ComputeError::BadAnswer(_) => "model.upstream_bad_answer",
                ComputeError::Deadline => "model.deadline",
                ComputeError::Cancelled => "model.cancelled",
                _ => "model.compute_failed",
            },
            Self::Panicked(_) => "model.compute_failed",
            Self::Forbidden => "model.forbidden",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded => Some(Duration::from_secs(1)),
            Self::Compute { source, .. } => source.retry_after(),
            _ => None,
        }
    }
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The active model does not exist.
    #[error(
        "`model.active` names `{id}`, which is neither in `model.models` nor a model in `{}`; fetch it with `touchstone models pull` or empty the key",
        directory.display()
    )]
    UnknownActive {
        /// Which.
        id: String,
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// The active model is no embedder.
    #[error("`model.active` names `{0}`, which is not an embedder")]
    ActiveDoesNotEmbed(String),
}
