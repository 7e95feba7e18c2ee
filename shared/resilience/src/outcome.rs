//! What the end of a call says about the upstream.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use touchstone_api::headers::FAILED_BELOW;

/// What a finished call says about its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It answered as it should.
    Success,
    /// It answered, and its first frame took too long.
    Slow,
    /// It failed: a 5xx, no connection, no answer in time, an answer that broke off.
    Failure {
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It had enough (429): a sign of load, not of failure.
    Overloaded {
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It refused the request (4xx): it is there, and the request was at fault. Neither good nor bad,
    /// so that a flood of bad requests cannot hide failures.
    Refused,
    /// It passed on the failure of a service behind it (a 5xx that names that service): it is there,
    /// and does what it can.
    Relayed,
    /// It says nothing: the caller left.
    Neutral,
}

impl Outcome {
    /// A failure that says nothing of when to come back.
    pub const FAILURE: Self = Self::Failure { retry_after: None };

    /// What the head of an answer says.
    ///
    /// A full disk (507) and what a service does not do (501, 505) are no reason to stop asking
    /// for other things.
    pub fn of_head(status: StatusCode, headers: &HeaderMap) -> Self {
        match status.as_u16() {
            500 | 502..=504 if headers.contains_key(FAILED_BELOW) => Self::Relayed,
            429 => Self::Overloaded {
                retry_after: retry_after(headers),
            },
            500 | 502..=504 | 520..=599 => Self::Failure {
                retry_after: retry_after(headers),
            },
            100..=399 => Self::Success,
            _ => Self::Refused,
        }
    }

    /// Whether the upstream failed.
    pub const fn is_failure(&self) -> bool {
        matches!(self, Self::Failure { .. })
    }
}

/// `Retry-After` in seconds; its form with a date is not read.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_of_the_upstream_count_as_such() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        let retry_after = Some(Duration::from_secs(7));
        for (status, outcome) in [
            (200, Outcome::Success),
            (304, Outcome::Success),
            (404, Outcome::Refused),
            (429, Outcome::Overloaded { retry_after }),
            (500, Outcome::Failure { retry_after }),
            (501, Outcome::Refused),
            (503, Outcome::Failure { retry_after }),
            (507, Outcome::Refused),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Outcome::of_head(status, &headers), outcome, "{status}");
        }
        headers.insert(FAILED_BELOW, "vector".parse().unwrap());
        for (status, outcome) in [
            (200, Outcome::Success),
            (429, Outcome::Overloaded { retry_after }),
            (500, Outcome::Relayed),
            (503, Outcome::Relayed),
            (504, Outcome::Relayed),
            (520, Outcome::Failure { retry_after }),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Outcome::of_head(status, &headers), outcome, "{status}");
        }
        headers.insert(
            RETRY_AFTER,
            "Wed, 21 Oct 2026 07:28:00 GMT".parse().unwrap(),
        );
        assert_eq!(super::retry_after(&headers), None);
    }
}
