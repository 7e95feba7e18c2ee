use std::time::Duration;

use touchstone_client::ClientError;
use touchstone_error::{Classify, ErrorKind, chain};

use crate::formats::ExtractError;
use crate::store::Failure;

/// What an error means to the documents under work.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// A dependency is away: wait, which is no attempt.
    Wait(Failure, Option<Duration>),
    /// An attempt failed.
    Attempt(Failure),
    /// Every attempt would fail.
    Fatal(Failure),
}

impl Trouble {
    /// As a reason to wait, whatever it is.
    pub fn into_wait(self) -> (Failure, Option<Duration>) {
        match self {
            Self::Wait(failure, after) => (failure, after),
            Self::Attempt(failure) | Self::Fatal(failure) => (failure, None),
        }
    }

    /// Of a parser.
    pub fn of_parser(error: &ExtractError) -> Self {
        let failure = Failure {
            code: error.code().to_owned(),
            message: error.to_string(),
        };
        if error.kind().is_transient() {
            Self::Wait(failure, error.retry_after())
        } else if error.is_transient() {
            Self::Attempt(failure)
        } else {
            Self::Fatal(failure)
        }
    }

    /// Of a call to `step`'s service: `embedding` or `index`.
    pub fn of_call(step: Step, error: &ClientError) -> Self {
        let (away, refused) = match step {
            Step::Embedding => (
                "document.embedding_unavailable",
                "document.embedding_refused",
            ),
            Step::Index => ("document.index_unavailable", "document.index_refused"),
        };
        let failure = |code: &str| Failure {
            code: code.to_owned(),
            message: format!("{} (`{}`)", chain(error), error.code()),
        };
        match error.kind() {
            // A collection that vanished is made anew.
            ErrorKind::NotFound if step == Step::Index => Self::Wait(failure(away), None),
            ErrorKind::Conflict if step == Step::Index => Self::Fatal(Failure {
                code: "document.model_mismatch".to_owned(),
                message: format!(
                    "the index was built with another model; run `touchstone reindex`: {}",
                    error.detail()
                ),
            }),
            kind if kind.is_transient() || kind == ErrorKind::Unauthenticated => {
                Self::Wait(failure(away), error.retry_after())
            }
            _ => Self::Attempt(failure(refused)),
        }
    }

    /// A call did not end in time.
    pub fn late(step: Step) -> Self {
        let (code, service) = match step {
            Step::Embedding => ("document.embedding_unavailable", "embedding"),
            Step::Index => ("document.index_unavailable", "vector"),
        };
        let message = format!("{service} did not answer in time");
        Self::Wait(
            Failure {
                code: code.to_owned(),
                message,
            },
            None,
        )
    }
}

/// Which neighbour was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// embedding.
    Embedding,
    /// vector.
    Index,
}

#[cfg(test)]
mod tests {
    use touchstone_api::Problem;

    use super::*;

    fn refused(status: u16) -> ClientError {
        let problem = Problem {
            type_: "about:blank".into(),
            title: String::new(),
            status,
            detail: "told".into(),
            instance: None,
            code: "vector.told".into(),
            request_id: String::new(),
        };
        ClientError::Refused {
            service: "vector",
            problem: Box::new(problem),
            retry_after: Some(Duration::from_secs(3)),
        }
    }

    #[test]
    fn what_passes_waits_what_is_wrong_counts_and_another_model_is_fatal() {
        for status in [401, 429, 503, 504, 507] {
            let trouble = Trouble::of_call(Step::Index, &refused(status));
            assert!(
                matches!(trouble, Trouble::Wait(_, Some(_))),
                "{status}: {trouble:?}"
            );
        }
        for status in [400, 413, 422, 500] {
            let trouble = Trouble::of_call(Step::Embedding, &refused(status));
            let Trouble::Attempt(failure) = trouble else {
                panic!("{status}: {trouble:?}")
            };
            assert_eq!(failure.code, "document.embedding_refused");
        }
        let Trouble::Fatal(failure) = Trouble::of_call(Step::Index, &refused(409)) else {
            panic!("a mismatch is fatal");
        };
        assert_eq!(failure.code, "document.model_mismatch");
        assert!(
            failure.message.contains("touchstone reindex"),
            "{}",
            failure.message
        );
    }
}
