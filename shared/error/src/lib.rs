//! Error kinds, classification and the chain printer.
//!
//! Libraries define `thiserror` enums and implement [`Classify`]; that is the only road from an
//! error to an HTTP status, a retry decision or a log level. `Display` never repeats its source:
//! [`chain`] prints the whole chain.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// What an error means to the caller. Closed: a new failure finds its place here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request cannot be understood (400).
    BadRequest,
    /// No credentials, or credentials that do not hold (401).
    Unauthenticated,
    /// Known caller, not allowed (403).
    Forbidden,
    /// No such thing for this caller (404).
    NotFound,
    /// The path exists, the method does not (405).
    MethodNotAllowed,
    /// The request came too slowly (408).
    RequestTimeout,
    /// The present state forbids it (409).
    Conflict,
    /// The state is not the one that the request was made for (412).
    PreconditionFailed,
    /// The body is larger than allowed (413).
    PayloadTooLarge,
    /// The body is of a type that is not handled (415).
    UnsupportedMediaType,
    /// Understood, and against the rules (422).
    Unprocessable,
    /// The request must say which state it is made for (428).
    PreconditionRequired,
    /// A quota or a flood limit (429).
    TooManyRequests,
    /// The headers are larger than allowed (431).
    HeadersTooLarge,
    /// A defect of ours (500); the detail stays in the log.
    Internal,
    /// A dependency is away or overloaded (503).
    Unavailable,
    /// The deadline passed (504).
    Timeout,
    /// The disk is full (507).
    StorageFull,
}

impl ErrorKind {
    /// The HTTP status code.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::Conflict => 409,
            Self::PreconditionFailed => 412,
            Self::PayloadTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Unprocessable => 422,
            Self::PreconditionRequired => 428,
            Self::TooManyRequests => 429,
            Self::HeadersTooLarge => 431,
            Self::Internal => 500,
            Self::Unavailable => 503,
            Self::Timeout => 504,
            Self::StorageFull => 507,
        }
    }

    /// The kind that a status from another service stands for.
    pub const fn from_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthenticated,
            403 => Self::Forbidden,
            404 | 410 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            409 => Self::Conflict,
            412 => Self::PreconditionFailed,
            413 => Self::PayloadTooLarge,
            415 => Self::UnsupportedMediaType,
            422 => Self::Unprocessable,
            428 => Self::PreconditionRequired,
            429 => Self::TooManyRequests,
            431 => Self::HeadersTooLarge,
            408 | 504 => Self::Timeout,
            502 | 503 => Self::Unavailable,
            507 => Self::StorageFull,
            400..=499 => Self::BadRequest,
            _ => Self::Internal,
        }
    }

    /// The title of the problem document.
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad request",
            Self::Unauthenticated => "Unauthenticated",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::RequestTimeout => "Request timeout",
            Self::Conflict => "Conflict",
            Self::PreconditionFailed => "Precondition failed",
            Self::PayloadTooLarge => "Payload too large",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::Unprocessable => "Unprocessable content",
            Self::PreconditionRequired => "Precondition required",
            Self::TooManyRequests => "Too many requests",
            Self::HeadersTooLarge => "Request header fields too large",
            Self::Internal => "Internal error",
            Self::Unavailable => "Service unavailable",
            Self::Timeout => "Deadline exceeded",
            Self::StorageFull => "Insufficient storage",
        }
    }

    /// Whether the same request may succeed later without a change.
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::TooManyRequests | Self::Unavailable | Self::Timeout | Self::StorageFull
        )
    }
}

/// How an error is told to the outside.
pub trait Classify: Error {
    /// What it means to the caller.
    fn kind(&self) -> ErrorKind;

    /// The stable code, `service.reason`; every code has a row in its service's README.
    fn code(&self) -> &str;

    /// When to come back, if that is known.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// The service behind this one whose failure this is: who called this one has no reason to stop.
    fn failed_below(&self) -> Option<&str> {
        None
    }

    /// The text for the caller. Errors of kind `Internal` never show theirs.
    fn detail(&self) -> String {
        self.to_string()
    }
}

/// Prints an error with its sources, joined by `: `.
pub fn chain(error: &dyn Error) -> Chain<'_> {
    Chain(error)
}

/// See [`chain`].
#[derive(Clone, Copy)]
pub struct Chain<'a>(&'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn chain_prints_every_source_once() {
        let error = Outer(std::io::Error::other("inner"));
        assert_eq!(chain(&error).to_string(), "outer: inner");
    }

    #[test]
    fn statuses_round_trip() {
        for status in [
            400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 428, 429, 431, 500, 503, 504, 507,
        ] {
            assert_eq!(ErrorKind::from_status(status).status(), status);
        }
    }
}
