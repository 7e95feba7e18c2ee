//! The order of the layers: the one place that says what happens to a request before what.
//!
//! From the outside in:
//!
//! | # | layer | where |
//! |---|---|---|
//! | 1 | security headers | here |
//! | 2 | CORS | here; outside of 3, so that pages can read problems of 3 |
//! | – | compression | `compression`, around 3 |
//! | 3 | request id, trace, access log, panics | `touchstone_web::Surface` |
//! | 4 | caps on headers, query, body | [`caps`] |
//! | 5 | limiter by address, before credentials cost anything | `quota::by_address` |
//! | 6 | credentials | [`authenticate`] |
//! | 7 | limiter by subject: after 6, so that a forged token buys no bucket | `quota::by_subject` |
//! | 8 | route class and deadline | [`deadline`] |
//! | 9 | cache and coalescing of reads and searches; epochs that writes end | `traffic` |
//! | 10 | deadline of the call, bulkhead with adaptive limit | `traffic::Upstreams` |
//! | 11 | hedge, retry | `traffic::Upstreams` |
//! | 12 | balance over instances, breaker per instance | `traffic::Upstreams` |
//! | 13 | the call | `routes::forward` |

use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::response::Response;
use http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    ETAG, IF_NONE_MATCH, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use touchstone_api::headers::{
    API_KEY, DEADLINE, DEGRADED, IDEMPOTENCY_KEY, REQUEST_ID, TRACEPARENT,
};
use touchstone_error::ErrorKind;
use touchstone_identity::RequestContext;
use touchstone_web::{Caller, Problem};
use tower::ServiceBuilder;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::Error;
use crate::body::CappedBody;
use crate::chain::{Layer, Next, Outcome};
use crate::config::HeaderLimits;
use crate::gateway::Gateway;
use crate::quota::{RATELIMIT, RATELIMIT_POLICY, by_address, by_subject};
use crate::record;
use crate::routes::forward::forward;
use crate::routes::table::{self, Class, Route};
use crate::{compression, websocket};

/// Methods that pages of other origins may use. Every method is forwarded: the service knows which
/// ones a path has, and names them in `Allow`.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// Names of query parameters that carry credentials elsewhere.
const CREDENTIALS: [&str; 9] = [
    "access_token",
    "refresh_token",
    "id_token",
    "token",
    "jwt",
    "authorization",
    "api_key",
    "apikey",
    "x-api-key",
];

/// What the layers found out about a forwarded request.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// Its route.
    pub route: &'static Route,
    /// Its path, as the service knows it.
    pub path: String,
    /// Its class.
    pub class: Class,
}

/// Layers 4 to 12, in their order; the call comes last.
const LAYERS: &[Layer] = &[
    // Outermost, so that refusals are recorded too.
    |gateway, request, next| {
        Box::pin(async move { Ok(record::observe(gateway, request, next).await) })
    },
    |gateway, request, next| Box::pin(caps(gateway, request, next)),
    |gateway, request, next| Box::pin(by_address(gateway, request, next)),
    |_, request, next| Box::pin(authenticate(request, next)),
    |gateway, request, next| Box::pin(by_subject(gateway, request, next)),
    |gateway, request, next| Box::pin(deadline(gateway, request, next)),
    // 9 to 12 are around the call itself: `routes::forward`.
];

/// Runs a request that is forwarded through its layers.
pub(crate) async fn around_forwarded(gateway: &Gateway, request: Request) -> Response {
    let call = |gateway, request| -> Outcome<'_> { Box::pin(forward(gateway, request)) };
    Next::new(gateway, LAYERS, call).run(request).await
}

/// Layers 1 and 2, around the whole surface.
pub(crate) fn around_everything(gateway: &Gateway, surface: Router) -> Router {
    let harden = |mut response: Response| {
        harden(response.headers_mut());
        response
    };
    let layers = ServiceBuilder::new()
        .map_response(harden)
        .layer(cors(gateway));
    compression::around(surface).layer(layers)
}

/// Layer 1: what every response says to browsers.
pub(crate) fn harden(headers: &mut HeaderMap) {
    const FIXED: [(HeaderName, HeaderValue); 3] = [
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    for (name, value) in FIXED {
        headers.insert(name, value);
    }
    // Pages of our own bring a wider policy.
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
}

fn cors(gateway: &Gateway) -> CorsLayer {
    let config = &gateway.config().cors;
    let origins = if config.origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(gateway.origins().to_vec())
    };
    let name = HeaderName::from_static;
    CorsLayer::new()
        .allow_origin(origins)
        .allow_credentials(config.credentials)
        .allow_methods(METHODS)
        .allow_headers([
            ACCEPT,
            AUTHORIZATION,
            CACHE_CONTROL,
            CONTENT_TYPE,
            IF_NONE_MATCH,
            name(API_KEY),
            name(DEADLINE),
            name(IDEMPOTENCY_KEY),
            name(REQUEST_ID),
            name(TRACEPARENT),
        ])
        .expose_headers([
            ETAG,
            RETRY_AFTER,
            RATELIMIT,
            RATELIMIT_POLICY,
            name(DEGRADED),
            name(REQUEST_ID),
            name(TRACEPARENT),
        ])
}

/// Refuses what is too large or in the wrong place, and finds the route.
async fn caps(gateway: &Gateway, request: Request, next: Next<'_>) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    cap_headers(&parts.headers, gateway.config().headers)?;
    if let Some(name) = parts.uri.query().and_then(credential_in) {
        return Err(Error::CredentialInQuery(name).into());
    }
    let Some((route, path)) = table::find(parts.uri.path()) else {
        let detail = "there is nothing at this path";
        return Err(Problem::new(
            ErrorKind::NotFound,
            "request.unknown_path",
            detail,
        ));
    };
    let class = table::class_of(route, &parts.method);
    let limit = class.limits(&gateway.config().classes).body.as_u64();
    let announced = parts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    if announced
        .and_then(|size| size.parse::<u64>().ok())
        .is_some_and(|size| size > limit)
    {
        return Err(Error::TooLarge { limit }.into());
    }
    let exchange = Exchange {
        route,
        path: path.to_owned(),
        class,
    };
    parts.extensions.insert(exchange);
    let (body, exceeded) = CappedBody::new(body, limit);
    let response = next.run(Request::from_parts(parts, Body::new(body))).await;
    if exceeded.load(Ordering::Acquire) {
        return Err(Error::TooLarge { limit }.into());
    }
    Ok(response)
}

/// Lets known callers through, and anybody to the public paths.
async fn authenticate(request: Request, next: Next<'_>) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    if websocket::is_upgrade(&parts.method, &parts.headers) {
        websocket::take_credential(&mut parts.headers);
    }
    let public = parts
        .extensions
        .get::<Exchange>()
        .is_some_and(|exchange| table::is_public(&exchange.path));
    if !public {
        let Caller(caller) = Caller::from_request_parts(&mut parts, &()).await?;
        if caller.is_service() {
            // Tokens among services never come from outside.
            return Err(touchstone_identity::Error::Invalid.into());
        }
        if let Some(owner) = parts.extensions.get::<record::Owner>() {
            owner.set(caller.tenant);
        }
        parts.extensions.insert(caller);
    }
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// Gives the request the deadline of its class, unless its own is earlier.
async fn deadline(
    gateway: &Gateway,
    mut request: Request,
    next: Next<'_>,
) -> Result<Response, Problem> {
    let extensions = request.extensions_mut();
    let limit = extensions
        .get::<Exchange>()
        .map(|exchange| exchange.class.limits(&gateway.config().classes).deadline);
    let (Some(limit), Some(context)) = (limit, extensions.get_mut::<RequestContext>()) else {
        let detail = "the route is not behind its layers";
        return Err(Problem::new(
            ErrorKind::Internal,
            "gateway.no_layers",
            detail,
        ));
    };
    *context = context.within(limit);
    let context = context.clone();
    if let Some(caller) = extensions.get_mut::<touchstone_identity::Caller>() {
        caller.context = context.clone();
    }
    let left = context.remaining().unwrap_or(limit);
    match tokio::time::timeout(left, next.run(request)).await {
        Ok(response) => Ok(response),
        Err(_) => Err(Error::Deadline.into()),
    }
}

fn cap_headers(headers: &HeaderMap, limits: HeaderLimits) -> Result<(), Error> {
    let size: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    let bytes = limits.bytes.as_u64();
    if size as u64 > bytes || headers.len() > limits.count {
        return Err(Error::HeadersTooLarge {
            bytes,
            count: limits.count,
        });
    }
    Ok(())
}

/// The first query parameter that is named like a credential.
fn credential_in(query: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        let name = decoded(name).to_ascii_lowercase();
        CREDENTIALS.contains(&name.as_str()).then_some(name)
    })
}

/// A parameter's name without its percent signs; what is no UTF-8 is replaced.
fn decoded(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_a_query_are_found_however_they_are_written() {
        for query in [
            "token=x",
            "a=1&access_token=x",
            "API_KEY",
            "%74oken=x",
            "x&Jwt=",
        ] {
            assert!(credential_in(query).is_some(), "{query}");
        }
        for query in [
            "",
            "tokens=3",
            "a=token",
            "limit=5&cursor=abc",
            "%7",
            "%zz=1",
        ] {
            assert_eq!(credential_in(query), None, "{query}");
        }
    }
}
