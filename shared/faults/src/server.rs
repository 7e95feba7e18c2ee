use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Request};
use touchstone_api::headers::REQUEST_ID;
use touchstone_lifecycle::HangUp;
use tower::{Service, ServiceExt};

use crate::apply::{Before, Done, before, refuse, stamp};
use crate::fault::Target;
use crate::header::Asked;
use crate::scope::Scope;
use crate::site::Site;
use crate::{Plane, Point, Relay, Side, admin};

/// A service with its faults, and the API that switches them.
#[derive(Clone)]
pub(crate) struct Server {
    plane: Plane,
    site: Arc<Site>,
    router: Router,
    relay: Option<Relay>,
}

impl Server {
    pub const fn new(plane: Plane, site: Arc<Site>, router: Router, relay: Option<Relay>) -> Self {
        Self {
            plane,
            site,
            router,
            relay,
        }
    }

    async fn answer(self, mut request: Request<Body>) -> Response {
        if admin::is_admin(request.uri().path()) {
            return admin::answer(&self.plane, &self.site, self.relay, request).await;
        }
        if !request.headers().contains_key(REQUEST_ID)
            && let Ok(id) = HeaderValue::from_str(&self.plane.fresh_id())
        {
            request.headers_mut().insert(REQUEST_ID, id);
        }
        let asked = Asked::take(request.headers_mut(), &self.plane);
        let target = Target::of(&request);
        let asked = match asked {
            Ok(asked) => asked,
            Err(reason) => return refuse(400, "fault.header", &reason, &target),
        };
        let mut hits = self.site.hits(Side::Server, None, &target);
        let scope = Scope::of(self.plane, self.site, target.clone(), asked);
        hits.extend(scope.asked(Point::Request, Side::Server, None));
        let (router, inside) = (self.router, scope.clone());
        let work = async {
            let after = match before(hits, &target).await {
                Before::Go(after) => after,
                Before::Answer(answer) => return answer,
                Before::Reset | Before::Refuse => return hang_up(),
            };
            let response = match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            match after.apply(response) {
                Done::Answer(mut response) => {
                    // What was met deeper inside.
                    stamp(&mut response, &inside.struck());
                    response
                }
                Done::Reset => hang_up(),
            }
        };
        scope.run(work).await
    }
}

/// In place of an answer the connection is reset.
fn hang_up() -> Response {
    let mut response = http::StatusCode::BAD_GATEWAY.into_response();
    response.extensions_mut().insert(HangUp);
    response
}

impl Service<Request<Body>> for Server {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move { Ok(server.answer(request).await) })
    }
}
