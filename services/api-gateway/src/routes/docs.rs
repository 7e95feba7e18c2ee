//! Swagger UI at `/docs`, from files that are compiled in.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use touchstone_error::ErrorKind;
use touchstone_web::Problem;
use utoipa_swagger_ui::Config;

use crate::gateway::Gateway;

/// Nothing from elsewhere; Swagger UI styles its elements in place and draws icons from `data:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; \
                      base-uri 'none'; form-action 'none'";

pub(crate) fn router() -> Router<Gateway> {
    Router::new()
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/docs/", get(async || file("index.html")))
        .route(
            "/docs/{*file}",
            get(async |Path(path): Path<String>| file(&path)),
        )
}

fn file(path: &str) -> Response {
    // The validator's badge would be a request to another host.
    let config = Config::from("/openapi.json")
        .validator_url("none")
        .try_it_out_enabled(true)
        .persist_authorization(false)
        .display_request_duration(true);
    match utoipa_swagger_ui::serve(path, Arc::new(config)) {
        Ok(Some(file)) => {
            let bytes = file.bytes.into_owned();
            let mut response = ([(CONTENT_TYPE, file.content_type)], bytes).into_response();
            let headers = response.headers_mut();
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            headers.insert(
                CACHE_CONTROL,
                HeaderValue::from_static("public, max-age=300"),
            );
            if file.gzpipped {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        }
        Ok(None) => {
            let detail = "there is nothing at this path";
            Problem::new(ErrorKind::NotFound, "request.unknown_path", detail).into_response()
        }
        Err(error) => {
            Problem::new(ErrorKind::Internal, "gateway.docs", error.to_string()).into_response()
        }
    }
}
