use std::sync::Arc;
use std::time::Duration;

use touchstone_client::TransportError;
use touchstone_error::{Classify, ErrorKind};
use touchstone_resilience::Rejected;

/// Why the gateway itself did not serve a request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service is not part of the deployment, or does not accept connections.
    #[error("the service `{service}` is not available")]
    ServiceUnavailable {
        /// Which service.
        service: &'static str,
        /// Why.
        #[source]
        source: TransportError,
    },
    /// The connection broke before the response.
    #[error("the service `{service}` did not finish its answer")]
    Broken {
        /// Which service.
        service: &'static str,
        /// Why.
        #[source]
        source: TransportError,
    },
    /// A policy refused the call before the service saw it.
    #[error("the service `{service}` was not asked")]
    Rejected {
        /// Which service.
        service: &'static str,
        /// Which policy.
        #[source]
        source: Rejected,
    },
    /// The body of an answer broke off while others waited for it.
    #[error("the service `{0}` did not finish its answer")]
    CutShort(&'static str),
    /// A page of another origin wants a WebSocket.
    #[error("pages of this origin may not open WebSockets here")]
    Origin,
    /// The connection cannot be upgraded.
    #[error("this connection cannot become a WebSocket; use HTTP/1.1")]
    NoUpgrade,
    /// There are as many WebSockets as there may be.
    #[error("there are as many WebSockets as there may be")]
    TooManyWebSockets,
    /// The deadline of the request's class passed.
    #[error("the request took longer than its deadline")]
    Deadline,
    /// The body is larger than its class allows.
    #[error("the body is larger than {limit} bytes, which is what this path allows")]
    TooLarge {
        /// What it allows.
        limit: u64,
    },
    /// The headers are too large or too many.
    #[error("the headers are larger than {bytes} bytes, or more than {count}")]
    HeadersTooLarge {
        /// Largest sum.
        bytes: u64,
        /// Most.
        count: usize,
    },
    /// A credential stands where logs and histories keep it.
    #[error("send credentials in a header, never in the URL: `{0}`")]
    CredentialInQuery(String),
    /// The body ended early.
    #[error("the body ended early")]
    Incomplete,
    /// The call that several requests waited for met a defect.
    #[error("the call panicked")]
    Panicked,
}

impl Error {
    /// What a failed call to `service` means.
    pub(crate) fn of(service: &'static str, source: TransportError) -> Self {
        match source {
            TransportError::Rejected(Rejected::TooLate { .. } | Rejected::TimedOut { .. }) => {
                Self::Deadline
            }
            TransportError::Rejected(source) => Self::Rejected { service, source },
            TransportError::Unmounted(_) | TransportError::Connect(_) => {
                Self::ServiceUnavailable { service, source }
            }
            TransportError::Broken(_) | TransportError::Upgrade(_) | TransportError::Reset => {
                Self::Broken { service, source }
            }
        }
    }
}

impl Error {
    /// Whether something poorer than what was asked for is better than this.
    pub(crate) const fn may_be_degraded(&self) -> bool {
        matches!(
            self,
            Self::ServiceUnavailable { .. } | Self::Broken { .. } | Self::Rejected { .. }
        )
    }
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::ServiceUnavailable { .. }
            | Self::Broken { .. }
            | Self::Rejected { .. }
            | Self::CutShort(_)
            | Self::TooManyWebSockets => ErrorKind::Unavailable,
            Self::Panicked => ErrorKind::Internal,
            Self::Origin => ErrorKind::Forbidden,
            Self::Deadline => ErrorKind::Timeout,
            Self::TooLarge { .. } => ErrorKind::PayloadTooLarge,
            Self::HeadersTooLarge { .. } => ErrorKind::HeadersTooLarge,
            Self::CredentialInQuery(_) | Self::Incomplete | Self::NoUpgrade => {
                ErrorKind::BadRequest
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::ServiceUnavailable { .. } => "gateway.service_unavailable",
            Self::Broken { .. } | Self::CutShort(_) => "gateway.service_broke_off",
            Self::Rejected { source, .. } => match source {
                Rejected::BreakerOpen { .. } => "gateway.breaker_open",
                Rejected::Overloaded { .. } => "gateway.overloaded",
                _ => "gateway.service_unavailable",
            },
            Self::Origin => "gateway.origin_refused",
            Self::NoUpgrade => "gateway.no_upgrade",
            Self::TooManyWebSockets => "gateway.too_many_websockets",
            Self::Deadline => "request.deadline",
            Self::TooLarge { .. } => "request.too_large",
            Self::HeadersTooLarge { .. } => "request.headers_too_large",
            Self::CredentialInQuery(_) => "gateway.credential_in_query",
            Self::Incomplete => "request.incomplete",
            Self::Panicked => "web.panic",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        let usual = (self.kind() == ErrorKind::Unavailable).then_some(Duration::from_secs(1));
        match self {
            Self::Rejected { source, .. } => source.retry_after().or(usual),
            _ => usual,
        }
    }
}

/// One failure for all who waited for the same call.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct SharedError(pub Arc<Error>);

impl Classify for SharedError {
    fn kind(&self) -> ErrorKind {
        self.0.kind()
    }

    fn code(&self) -> &str {
        self.0.code()
    }

    fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after()
    }

    fn detail(&self) -> String {
        self.0.detail()
    }
}

/// The gateway cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// An origin of `cors.origins` cannot be sent in a header.
    #[error("`{0}` is no origin")]
    Origin(String),
    /// The store of quotas cannot be opened.
    #[error("quotas cannot be counted as configured")]
    Quota(#[source] touchstone_cache::Error),
}
