//! What a request meets first: the way to a service, or the router of the gateway's own pages.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use http::header::{ACCEPT_ENCODING, ORIGIN, VARY};
use http::{HeaderValue, Method};
use touchstone_web::Boundary;
use tower::{Service, ServiceExt};

use crate::gateway::Gateway;
use crate::layers;
use crate::routes::table::Patterns;

type Answering = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// The gateway as one service.
#[derive(Clone)]
pub(crate) struct Front {
    inside: Arc<Parts>,
    /// The same with what only some clients ask for: CORS and compression.
    dressed: Arc<Router>,
}

/// Forwarded requests and the gateway's own pages.
struct Parts {
    gateway: Gateway,
    boundary: Boundary,
    patterns: Patterns,
    own: Router,
}

impl Front {
    /// Forwards within `boundary`; `own` answers everything else, within a boundary of its own.
    pub fn new(gateway: &Gateway, boundary: Boundary, own: Router) -> Self {
        let inside = Arc::new(Parts {
            gateway: gateway.clone(),
            boundary,
            patterns: Patterns::new(),
            own,
        });
        let answering = Arc::clone(&inside);
        let routes = Router::new().fallback(move |request| {
            let inside = Arc::clone(&answering);
            async move { inside.answer(request).await }
        });
        let dressed = Arc::new(layers::around_everything(gateway, routes));
        Self { inside, dressed }
    }

    async fn answer(self, request: Request) -> Response {
        let headers = request.headers();
        let plain = !headers.contains_key(ORIGIN)
            && !headers.contains_key(ACCEPT_ENCODING)
            && request.method() != Method::OPTIONS;
        if plain {
            let mut response = self.inside.answer(request).await;
            let headers = response.headers_mut();
            layers::harden(headers);
            // Other clients may get another answer.
            headers.append(VARY, HeaderValue::from_static("origin, accept-encoding"));
            return response;
        }
        let dressed = Router::clone(&self.dressed).oneshot(request).await;
        dressed.unwrap_or_else(|never| match never {})
    }
}

impl Parts {
    async fn answer(&self, request: Request) -> Response {
        let Some(pattern) = self.patterns.find(request.uri().path()) else {
            let answer = self.own.clone().oneshot(request).await;
            return answer.unwrap_or_else(|never| match never {});
        };
        let forward = |request| layers::around_forwarded(&self.gateway, request);
        self.boundary.around(pattern, request, forward).await
    }
}

impl Service<Request> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Answering {
        let front = self.clone();
        Box::pin(async move { Ok(front.answer(request).await) })
    }
}
