use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use touchstone_faults::{Called, Calls};
use touchstone_resilience::Rejected;
use touchstone_resilience::layers::CallError;
use tower::{Service, ServiceExt};

use crate::pool::Endpoint;
use crate::upgrade::Upgrades;

/// The way to a service. Dropping the future, or the body of the response, cancels the call.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Over HTTP.
    Http {
        /// Where to.
        endpoint: Arc<Endpoint>,
    },
    /// To a router in this process.
    InProcess(Router),
    /// One of these, with faults that were asked for.
    Faulty {
        /// The way without them.
        way: Box<Transport>,
        /// The faults.
        faults: Calls,
    },
}

impl Transport {
    /// Whether it leads to a router in this process.
    pub(crate) fn is_here(&self) -> bool {
        match self {
            Self::Http { .. } => false,
            Self::InProcess(_) => true,
            Self::Faulty { way, .. } => way.is_here(),
        }
    }
}

/// No response came.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Nobody told the mesh where the service is.
    #[error("service `{0}` is not part of this deployment")]
    Unmounted(String),
    /// The connection failed.
    #[error("no connection")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    /// The connection broke, or the answer was not HTTP.
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
    /// The connection within this process broke that was to become another protocol's.
    #[error("the service did not consent to another protocol")]
    Upgrade(#[source] hyper::Error),
    /// The connection was reset, as was asked for.
    #[error("the connection was reset")]
    Reset,
    /// A policy ended the call.
    #[error("the call was not made, or not waited for")]
    Rejected(#[from] Rejected),
}

impl CallError for TransportError {
    fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::Rejected(rejected) => Some(rejected),
            _ => None,
        }
    }

    fn never_sent(&self) -> bool {
        match self {
            Self::Rejected(rejected) => rejected.never_sent(),
            Self::Unmounted(_) | Self::Connect(_) => true,
            Self::Broken(_) | Self::Upgrade(_) | Self::Reset => false,
        }
    }

    fn broken_off_by_caller(&self) -> bool {
        // A body that is passed on as it comes ends with an error when whoever sends it leaves.
        matches!(self, Self::Broken(error) if error.is_user())
    }
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Body>;
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, TransportError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        // Routers are always ready, and the pool queues by itself.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Self::InProcess(router) = self
            && let Some(upgrades) = request.extensions_mut().remove::<Upgrades>()
        {
            return Box::pin(upgrades.call(router.clone(), request));
        }
        match self {
            Self::Http { endpoint } => {
                let endpoint = Arc::clone(endpoint);
                Box::pin(async move { endpoint.call(request).await })
            }
            Self::InProcess(router) => {
                let response = router.clone().oneshot(request);
                Box::pin(async move { response.await.map_err(|never: Infallible| match never {}) })
            }
            Self::Faulty { way, faults } => {
                let (mut way, faults) = (way.clone(), faults.clone());
                Box::pin(async move {
                    match faults.around(request, |request| way.call(request)).await {
                        Called::Ended(result) => result,
                        Called::Reset => Err(TransportError::Reset),
                        Called::Refused => {
                            let nobody = io::Error::from(io::ErrorKind::ConnectionRefused);
                            Err(TransportError::Connect(Box::new(nobody)))
                        }
                    }
                })
            }
        }
    }
}
