//! How a request ended.

use serde::{Deserialize, Serialize};

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The target accepted no connection.
    Connect,
    /// This machine had no socket, port or file descriptor left: the generator's own fault.
    Own,
    /// The connection broke before the end of the answer.
    Broken,
    /// What came is not HTTP, or not what the protocol allows.
    Protocol,
    /// No answer, or not all of it, within the time.
    Timeout,
    /// 429 that nobody expected.
    TooMany,
    /// Another status of 400 to 499.
    Client,
    /// A status of 500 to 599.
    Server,
    /// A status that was not expected, and is none of these.
    Status,
    /// The right status with the wrong content.
    Content,
    /// It had not ended when the run did.
    Unfinished,
}

impl ErrorClass {
    /// Every class, in the order of its number.
    pub const ALL: [Self; 11] = [
        Self::Connect,
        Self::Own,
        Self::Broken,
        Self::Protocol,
        Self::Timeout,
        Self::TooMany,
        Self::Client,
        Self::Server,
        Self::Status,
        Self::Content,
        Self::Unfinished,
    ];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Own => "own",
            Self::Broken => "broken",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
            Self::TooMany => "too_many",
            Self::Client => "client",
            Self::Server => "server",
            Self::Status => "status",
            Self::Content => "content",
            Self::Unfinished => "unfinished",
        }
    }

    /// The class of a status that was not expected.
    pub const fn of_status(status: u16) -> Self {
        match status {
            429 => Self::TooMany,
            400..=499 => Self::Client,
            500..=599 => Self::Server,
            _ => Self::Status,
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Good,
    /// Refused in good form, where the scenario allows that: 429 or 503 with `Retry-After`.
    Shed,
    /// Wrong.
    Failed(ErrorClass),
}

/// Errors by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors([u64; ErrorClass::ALL.len()]);

impl Errors {
    /// One more.
    pub fn add(&mut self, class: ErrorClass) {
        self.0[class as usize] += 1;
    }

    /// Those of another.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own += other;
        }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Of one class.
    pub const fn of(&self, class: ErrorClass) -> u64 {
        self.0[class as usize]
    }

    /// The classes that occurred.
    pub fn each(&self) -> impl Iterator<Item = (ErrorClass, u64)> + '_ {
        let all = ErrorClass::ALL.into_iter().zip(self.0);
        all.filter(|(_, count)| *count > 0)
    }
}
