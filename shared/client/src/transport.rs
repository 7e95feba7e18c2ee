use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use touchstone_resilience::Rejected;
use touchstone_resilience::layers::CallError;
use tower::{Service, ServiceExt};

use crate::upgrade::Upgrades;

/// Shorter than the servers keep idle connections, so that a reused one is alive.
const POOL_IDLE: Duration = Duration::from_secs(4);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The pooled HTTP client under every HTTP transport of a mesh.
pub(crate) type HttpClient = Client<HttpConnector, Body>;

pub(crate) fn http_client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_timer(TokioTimer::new())
        .build(connector)
}

/// The way to a service. Dropping the future, or the body of the response, cancels the call.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Over HTTP to the base URL.
    Http {
        /// Scheme and authority, e.g. `http://127.0.0.1:8007`.
        base: Uri,
        /// Pooled client.
        client: Arc<HttpClient>,
    },
    /// To a router in this process.
    InProcess(Router),
}

/// No response came.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Nobody told the mesh where the service is.
    #[error("service `{0}` is not part of this deployment")]
    Unmounted(String),
    /// The connection failed.
    #[error("no connection")]
    Connect(#[source] hyper_util::client::legacy::Error),
    /// The connection broke, or the answer was not HTTP.
    #[error("the connection broke")]
    Broken(#[source] hyper_util::client::legacy::Error),
    /// The connection within this process broke that was to become another protocol's.
    #[error("the service did not consent to another protocol")]
    Upgrade(#[source] hyper::Error),
    /// A policy ended the call.
    #[error("the call was not made, or not waited for")]
    Rejected(#[from] Rejected),
    /// The request cannot be addressed.
    #[error("the request's path is not valid")]
    Path(#[source] http::uri::InvalidUriParts),
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
            Self::Unmounted(_) | Self::Connect(_) | Self::Path(_) => true,
            Self::Broken(_) | Self::Upgrade(_) => false,
        }
    }

    fn broken_off_by_caller(&self) -> bool {
        let Self::Broken(error) = self else {
            return false;
        };
        // A body that is passed on as it comes ends with an error when whoever sends it leaves.
        let source = std::error::Error::source(error);
        source
            .and_then(|source| source.downcast_ref::<hyper::Error>())
            .is_some_and(hyper::Error::is_user)
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
            Self::Http { base, client } => {
                let target = match join(base, request.uri()) {
                    Ok(target) => target,
                    Err(error) => {
                        return Box::pin(std::future::ready(Err(TransportError::Path(error))));
                    }
                };
                *request.uri_mut() = target;
                let response = client.request(request);
                Box::pin(async move {
                    match response.await {
                        Ok(response) => Ok(response.map(Body::new)),
                        Err(error) if error.is_connect() => Err(TransportError::Connect(error)),
                        Err(error) => Err(TransportError::Broken(error)),
                    }
                })
            }
            Self::InProcess(router) => {
                let response = router.clone().oneshot(request);
                Box::pin(async move { response.await.map_err(|never: Infallible| match never {}) })
            }
        }
    }
}

fn join(base: &Uri, path: &Uri) -> Result<Uri, http::uri::InvalidUriParts> {
    let mut parts = base.clone().into_parts();
    let path = path.path_and_query().cloned();
    parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(parts)
}
