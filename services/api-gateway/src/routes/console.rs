//! The console: one page, compiled in.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};

use crate::gateway::Gateway;

/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
                      form-action 'self'";

pub(crate) fn router() -> Router<Gateway> {
    Router::new()
        .route(
            "/",
            get(async || file("text/html", include_str!("../../console/index.html"))),
        )
        .route(
            "/console.js",
            get(async || file("text/javascript", include_str!("../../console/console.js"))),
        )
        .route(
            "/console.css",
            get(async || file("text/css", include_str!("../../console/console.css"))),
        )
        .route(
            "/icon.svg",
            get(async || file("image/svg+xml", include_str!("../../console/icon.svg"))),
        )
}

fn file(kind: &str, text: &'static str) -> Response {
    let mut response = ([(CONTENT_TYPE, format!("{kind}; charset=utf-8"))], text).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
