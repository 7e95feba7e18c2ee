//! Why an exchange failed.

use std::error::Error;
use std::io;

use crate::measure::ErrorClass;

/// A failed exchange.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What kind.
    pub class: ErrorClass,
    /// In words.
    pub what: String,
}

impl Failure {
    /// Of a class.
    pub fn new(class: ErrorClass, what: impl Into<String>) -> Self {
        Self {
            class,
            what: what.into(),
        }
    }

    /// A connection that could not be made.
    pub fn connecting(error: &io::Error) -> Self {
        let class = if is_own(error) {
            ErrorClass::Own
        } else {
            ErrorClass::Connect
        };
        Self::new(class, error.to_string())
    }

    /// A connection that failed in use.
    pub fn using(error: &hyper::Error) -> Self {
        let class = if error.is_parse() || error.is_parse_too_large() || error.is_user() {
            ErrorClass::Protocol
        } else {
            ErrorClass::Broken
        };
        let causes = std::iter::successors(Some(error as &dyn Error), |error| (*error).source());
        let causes: Vec<String> = causes.map(ToString::to_string).collect();
        Self::new(class, causes.join(": "))
    }
}

/// Whether this machine ran out of something: descriptors, ports or memory for sockets.
fn is_own(error: &io::Error) -> bool {
    // EMFILE, ENFILE, EADDRNOTAVAIL, ENOBUFS, ENOMEM of Linux.
    matches!(error.raw_os_error(), Some(24 | 23 | 99 | 105 | 12))
}
