use std::time::Duration;

use touchstone_client::TransportError;
use touchstone_error::{Classify, ErrorKind};

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
}

impl Error {
    /// What a failed call to `service` means.
    pub(crate) fn of(service: &'static str, source: TransportError) -> Self {
        match source {
            TransportError::Unmounted(_) | TransportError::Connect(_) => {
                Self::ServiceUnavailable { service, source }
            }
            TransportError::Broken(_) | TransportError::Path(_) => Self::Broken { service, source },
        }
    }
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::ServiceUnavailable { .. } | Self::Broken { .. } => ErrorKind::Unavailable,
            Self::Deadline => ErrorKind::Timeout,
            Self::TooLarge { .. } => ErrorKind::PayloadTooLarge,
            Self::HeadersTooLarge { .. } => ErrorKind::HeadersTooLarge,
            Self::CredentialInQuery(_) | Self::Incomplete => ErrorKind::BadRequest,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::ServiceUnavailable { .. } => "gateway.service_unavailable",
            Self::Broken { .. } => "gateway.service_broke_off",
            Self::Deadline => "request.deadline",
            Self::TooLarge { .. } => "request.too_large",
            Self::HeadersTooLarge { .. } => "request.headers_too_large",
            Self::CredentialInQuery(_) => "gateway.credential_in_query",
            Self::Incomplete => "request.incomplete",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        (self.kind() == ErrorKind::Unavailable).then_some(Duration::from_secs(1))
    }
}

/// The gateway cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// An origin of `cors.origins` cannot be sent in a header.
    #[error("`{0}` is no origin")]
    Origin(String),
}
