use std::time::Duration;

use touchstone_error::{Classify, ErrorKind};
use touchstone_types::DocumentStatus;

use crate::domain::cursor::InvalidCursor;
use crate::domain::limits::Broken;
use crate::formats::Rejection;
use crate::store;

/// Why a request was not served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such document for this caller.
    #[error("there is no such document")]
    Unknown,
    /// A fact about the document breaks a rule.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The multipart body cannot be read.
    #[error("{0}")]
    Multipart(String),
    /// The multipart body breaks off or is not multipart.
    #[error("the multipart body cannot be read: {0}")]
    MalformedMultipart(String),
    /// The original is too large.
    #[error("the document is larger than {0}")]
    TooLarge(bytesize::ByteSize),
    /// The body is too large, whatever is in it.
    #[error("the body is larger than this path allows")]
    BodyTooLarge,
    /// The file cannot come in.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The idempotency key was used for another request.
    #[error("this idempotency key was used before, for another request")]
    IdempotencyMismatch,
    /// The text was not extracted yet.
    #[error("the text is not there: the document is {0}")]
    NoText(DocumentStatus),
    /// The document's state forbids it.
    #[error("the document is {0}, which cannot be {1}")]
    State(DocumentStatus, &'static str),
    /// The cursor is not of this list.
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    /// The limit of a list is out of range.
    #[error("`limit` must be 1 to {0}")]
    Limit(u32),
    /// A passage request breaks a rule.
    #[error("{0}")]
    Passages(&'static str),
    /// The caller may not do this.
    #[error("only administrators may do this")]
    Forbidden,
    /// The store did not do it.
    #[error("the store failed")]
    Store(#[from] store::Error),
    /// The stored bytes are not those that came.
    #[error("the stored file is damaged; upload it again")]
    Damaged,
    /// The collection could not be dropped.
    #[error("the collection could not be reset")]
    Reset(#[source] touchstone_client::ClientError),
    /// The service stops.
    #[error("the service stops")]
    Stopping,
    /// A task of ours died.
    #[error("a task broke off")]
    Task(#[source] tokio::task::JoinError),
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown => ErrorKind::NotFound,
            Self::Broken(_)
            | Self::Multipart(_)
            | Self::IdempotencyMismatch
            | Self::Cursor(_)
            | Self::Limit(_)
            | Self::Passages(_) => ErrorKind::Unprocessable,
            Self::MalformedMultipart(_) => ErrorKind::BadRequest,
            Self::TooLarge(_) | Self::BodyTooLarge => ErrorKind::PayloadTooLarge,
            Self::Rejected(rejection) => rejection.kind(),
            Self::NoText(_) | Self::State(..) => ErrorKind::Conflict,
            Self::Forbidden => ErrorKind::Forbidden,
            Self::Store(error) => error.kind(),
            Self::Reset(error) if error.kind().is_transient() => ErrorKind::Unavailable,
            Self::Stopping => ErrorKind::Unavailable,
            Self::Damaged | Self::Reset(_) | Self::Task(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Unknown => "document.unknown",
            Self::Broken(_) | Self::Multipart(_) | Self::Limit(_) | Self::Passages(_) => {
                "request.invalid"
            }
            Self::MalformedMultipart(_) => "request.malformed",
            Self::TooLarge(_) => "document.too_large",
            Self::BodyTooLarge => "request.too_large",
            Self::Rejected(rejection) => rejection.code(),
            Self::IdempotencyMismatch => "document.idempotency_mismatch",
            Self::NoText(_) => "document.no_text_yet",
            Self::State(..) => "document.wrong_state",
            Self::Cursor(_) => "request.invalid_cursor",
            Self::Forbidden => "auth.forbidden",
            Self::Store(error) => match error.kind() {
                ErrorKind::StorageFull => "document.storage_full",
                _ => error.code(),
            },
            Self::Damaged => "document.damaged",
            Self::Reset(_) => "document.reset_failed",
            Self::Stopping => "document.stopping",
            Self::Task(_) => "document.task",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Store(error) => error.retry_after(),
            Self::Reset(error) => error.retry_after(),
            Self::Stopping => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    fn failed_below(&self) -> Option<&str> {
        match self {
            Self::Reset(error) => error.failed_below(),
            _ => None,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Store(error) => error.to_string(),
            other => other.to_string(),
        }
    }
}
