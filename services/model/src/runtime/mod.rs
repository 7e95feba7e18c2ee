//! What answers for a model once it is loaded.

pub mod bert;
pub mod hash;
pub mod openai;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use touchstone_error::{Classify, ErrorKind};

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file that every model has is not there.
    #[error("`{0}` is missing")]
    Missing(String),
    /// A file or folder cannot be read.
    #[error("`{file}` cannot be read")]
    Unreadable {
        /// Which.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("`{file}` is damaged: {reason}")]
    Damaged {
        /// Which.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor is missing or has another shape.
    #[error("the tensor `{name}` {reason}")]
    Tensor {
        /// Which.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A model of a kind that this runtime does not compute.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// The model was loaded and cannot compute.
    #[error("the trial run failed")]
    Trial(#[source] ComputeError),
}

impl LoadError {
    /// Whether the same load may succeed later without a change.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Trial(error) if error.kind().is_transient())
    }
}

/// Why a loaded model did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// The tokenizer refused a text.
    #[error("the tokenizer failed: {0}")]
    Tokenizer(String),
    /// The tensor library failed.
    #[error("the computation failed")]
    Tensor(#[source] candle_core::Error),
    /// A vector holds NaN or infinity, or has no direction.
    #[error("the model gave a vector that is not finite")]
    NotFinite,
    /// Nobody waits for the answer any more.
    #[error("the computation was given up")]
    Cancelled,
    /// The time ran out.
    #[error("the deadline passed")]
    Deadline,
    /// The remote server cannot be reached or broke off.
    #[error("the embedding server cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// The remote server answered with an error.
    #[error("the embedding server answered with status {status}")]
    Refused {
        /// Its status.
        status: u16,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// The remote server's answer cannot be used.
    #[error("the embedding server's answer is unusable: {0}")]
    BadAnswer(String),
}

impl Classify for ComputeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Tokenizer(_) | Self::Tensor(_) | Self::NotFinite => ErrorKind::Internal,
            Self::Cancelled | Self::Unreachable(_) | Self::Refused { .. } | Self::BadAnswer(_) => {
                ErrorKind::Unavailable
            }
            Self::Deadline => ErrorKind::Timeout,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Tokenizer(_) | Self::Tensor(_) | Self::NotFinite => "model.compute_failed",
            Self::Cancelled => "model.cancelled",
            Self::Deadline => "model.deadline",
            Self::Unreachable(_) => "model.upstream_unreachable",
            Self::Refused { .. } => "model.upstream_refused",
            Self::BadAnswer(_) => "model.upstream_bad_answer",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl From<candle_core::Error> for ComputeError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}

/// What is put before a text, by what the text is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prefixes {
    /// Before a query.
    pub query: String,
    /// Before a passage.
    pub passage: String,
}

/// Vectors of several texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// `[texts][dimension]`, L2-normalised.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all texts.
    pub tokens: usize,
}

/// How long a computation may go on; asked between batches.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    deadline: Option<Instant>,
    cancelled: Arc<AtomicBool>,
}

impl Budget {
    /// Until `deadline`, or without end.
    pub fn until(deadline: Option<Instant>) -> Self {
        Self {
            deadline,
            cancelled: Arc::default(),
        }
    }

    /// Cancels the computation when it is dropped.
    pub fn guard(&self) -> Guard {
        Guard(Arc::clone(&self.cancelled))
    }

    /// When it ends.
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Fails when nobody waits any more.
    pub fn check(&self) -> Result<(), ComputeError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(ComputeError::Cancelled);
        }
        if self
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            return Err(ComputeError::Deadline);
        }
        Ok(())
    }
}

/// See [`Budget::guard`].
#[derive(Debug)]
pub struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A loaded model.
#[derive(Debug)]
pub enum Runtime {
    /// A BERT-family embedder.
    Embedder(bert::Embedder),
    /// A BERT-family cross-encoder.
    Reranker(bert::Reranker),
    /// Somebody else's server.
    Openai(openai::Client),
    /// Feature hashing.
    Hash(hash::Embedder),
}

impl Runtime {
    /// Length of its vectors; `None` for rerankers.
    pub const fn dimension(&self) -> Option<usize> {
        match self {
            Self::Embedder(model) => Some(model.dimension()),
            Self::Reranker(_) => None,
            Self::Openai(model) => Some(model.dimension()),
            Self::Hash(model) => Some(model.dimension()),
        }
    }

    /// Longest input in tokens, where there is a limit.
    pub const fn max_tokens(&self) -> Option<usize> {
        match self {
            Self::Embedder(model) => Some(model.max_tokens()),
            Self::Reranker(model) => Some(model.max_tokens()),
            Self::Openai(_) | Self::Hash(_) => None,
        }
    }

    /// Memory of the weights.
    pub const fn memory_bytes(&self) -> u64 {
        match self {
            Self::Embedder(model) => model.memory_bytes(),
            Self::Reranker(model) => model.memory_bytes(),
            Self::Openai(_) | Self::Hash(_) => 0,
        }
    }
}

/// Scales a vector to length one.
pub fn normalize(vector: &mut [f32]) -> Result<(), ComputeError> {
    let squares: f64 = vector.iter().map(|value| f64::from(*value).powi(2)).sum();
    let length = squares.sqrt();
    if !length.is_finite() || length <= f64::from(f32::MIN_POSITIVE) {
        return Err(ComputeError::NotFinite);
    }
    for value in vector {
        *value = (f64::from(*value) / length) as f32;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_guard_cancels() {
        let budget = Budget::until(None);
        let guard = budget.guard();
        assert!(budget.check().is_ok());
        drop(guard);
        assert!(matches!(budget.check(), Err(ComputeError::Cancelled)));
    }

    #[test]
    fn a_passed_deadline_ends_the_work() {
        let budget = Budget::until(Some(Instant::now()));
        assert!(matches!(budget.check(), Err(ComputeError::Deadline)));
    }

    #[test]
    fn refuses_vectors_without_direction() {
        for mut vector in [
            vec![0.0, 0.0],
            vec![f32::NAN, 1.0],
            vec![f32::INFINITY, 1.0],
        ] {
            assert!(normalize(&mut vector).is_err(), "{vector:?}");
        }
        let mut vector = vec![3.0, 4.0];
        normalize(&mut vector).unwrap();
        assert_eq!(vector, [0.6, 0.8]);
    }
}
