use std::sync::Arc;
use std::time::Duration;

use touchstone_api::Problem;
use touchstone_error::{Classify, ErrorKind};
use touchstone_resilience::Rejected;

use crate::TransportError;

/// A call to another service failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The service answered with a problem, which stands for itself.
    #[error("{service}: {}", problem.detail)]
    Refused {
        /// Which service.
        service: &'static str,
        /// What it said.
        problem: Box<Problem>,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// The service did not answer.
    #[error("{service} cannot be reached")]
    Unreachable {
        /// Which service.
        service: &'static str,
        /// Why.
        #[source]
        source: Arc<TransportError>,
    },
    /// A policy ended the call: the service fails too often, has too much to do, or too little
    /// time is left.
    #[error("{service} was not asked")]
    Rejected {
        /// Which service.
        service: &'static str,
        /// Which policy.
        #[source]
        source: Rejected,
    },
    /// The deadline passed.
    #[error("{service} did not answer in time")]
    Timeout {
        /// Which service.
        service: &'static str,
    },
    /// The answer is not what its status promises.
    #[error("the answer of {service} cannot be read: {reason}")]
    Undecodable {
        /// Which service.
        service: &'static str,
        /// Why.
        reason: String,
    },
    /// The answer ended before its end.
    #[error("the answer of {service} broke off: {reason}")]
    BrokenOff {
        /// Which service.
        service: &'static str,
        /// Why.
        reason: String,
    },
}

impl Classify for ClientError {
    /// What a refusal means to the caller's own caller: 401 among services is a defect of ours.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { problem, .. } => ErrorKind::from_status(problem.status),
            Self::Rejected { source, .. } => source.kind(),
            Self::Unreachable { .. } | Self::BrokenOff { .. } => ErrorKind::Unavailable,
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Undecodable { .. } => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Refused { problem, .. } => &problem.code,
            Self::Rejected { source, .. } => source.code(),
            Self::Unreachable { .. } => "service.unreachable",
            Self::BrokenOff { .. } => "service.broken_off",
            Self::Timeout { .. } => "service.timeout",
            Self::Undecodable { .. } => "service.undecodable",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Rejected { source, .. } => source.retry_after(),
            Self::Unreachable { .. } | Self::BrokenOff { .. } => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// Not what it finds wrong with our request, and not an answer that we cannot read: those are
    /// defects of ours as well.
    fn failed_below(&self) -> Option<&str> {
        match self {
            Self::Refused {
                service, problem, ..
            } => {
                let is_its_own = matches!(problem.status, 408 | 429 | 500..);
                is_its_own.then_some(*service)
            }
            Self::Unreachable { service, .. }
            | Self::Rejected { service, .. }
            | Self::Timeout { service }
            | Self::BrokenOff { service, .. } => Some(*service),
            Self::Undecodable { .. } => None,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Refused { problem, .. } => problem.detail.clone(),
            other => other.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> ClientError {
        let problem = Problem {
            type_: "about:blank".into(),
            title: String::new(),
            status,
            detail: String::new(),
            instance: None,
            code: "vector.told".into(),
            request_id: String::new(),
        };
        ClientError::Refused {
            service: "vector",
            problem: Box::new(problem),
            retry_after: None,
        }
    }

    #[test]
    fn what_failed_below_is_told_from_what_was_wrong_with_our_own_call() {
        for status in [408, 429, 500, 502, 503, 504, 507] {
            assert_eq!(refused(status).failed_below(), Some("vector"), "{status}");
        }
        for status in [400, 401, 404, 409, 413, 422] {
            assert_eq!(refused(status).failed_below(), None, "{status}");
        }
        let service = "vector";
        let open = Rejected::BreakerOpen {
            upstream: service.into(),
            retry_after: Duration::ZERO,
        };
        let reason = String::new;
        for (error, below) in [
            (ClientError::Timeout { service }, Some(service)),
            (
                ClientError::Rejected {
                    service,
                    source: open,
                },
                Some(service),
            ),
            (
                ClientError::BrokenOff {
                    service,
                    reason: reason(),
                },
                Some(service),
            ),
            (
                ClientError::Undecodable {
                    service,
                    reason: reason(),
                },
                None,
            ),
        ] {
            assert_eq!(error.failed_below(), below, "{error}");
        }
    }
}
