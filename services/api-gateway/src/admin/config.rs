use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use touchstone_web::responses::{BodyErrors, CallerErrors};
use touchstone_web::{AppJson, Caller, Problem};

use crate::gateway::Gateway;
use crate::quota::{Limits, Live};

/// The limits in force.
///
/// For administrators of the tenants that run this installation.
#[utoipa::path(get, path = "/api/v1/config", operation_id = "read_config", tag = "operations",
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, body = Limits, headers(("ETag" = String, description = "Names this state"))),
        (status = 304, description = "As it was"),
        CallerErrors))]
pub(super) async fn read(
    State(gateway): State<Gateway>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    gateway.quotas().require_operator(&caller)?;
    let live = gateway.quotas().live();
    let known = headers.get(IF_NONE_MATCH);
    if known.is_some_and(|known| known.as_bytes() == live.etag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, tag(&live)).into_response());
    }
    Ok((tag(&live), AppJson(live.plans.limits.clone())).into_response())
}

/// Changes the limits, at once and for all gateways.
///
/// `If-Match` carries the `ETag` of the state that is changed. In a deployment with Redis the change
/// lasts until Redis and all gateways have been restarted, else until the gateway is.
#[utoipa::path(put, path = "/api/v1/config", operation_id = "change_config", tag = "operations",
    security(("bearer" = []), ("api_key" = [])), request_body = Limits,
    params(("If-Match" = String, Header, description = "The `ETag` of what is changed")),
    responses(
        (status = 200, body = Limits, headers(("ETag" = String, description = "Names the new state"))),
        CallerErrors, BodyErrors,
        (status = 412, description = "Changed in the meantime",
            body = touchstone_api::Problem, content_type = "application/problem+json"),
        (status = 428, description = "No `If-Match`",
            body = touchstone_api::Problem, content_type = "application/problem+json")))]
pub(super) async fn change(
    State(gateway): State<Gateway>,
    caller: Caller,
    headers: HeaderMap,
    AppJson(limits): AppJson<Limits>,
) -> Result<Response, Problem> {
    let quotas = gateway.quotas();
    quotas.require_operator(&caller)?;
    let known = headers.get(IF_MATCH).and_then(|value| value.to_str().ok());
    let live = quotas.change(&caller, known, limits).await?;
    Ok((tag(&live), AppJson(live.plans.limits.clone())).into_response())
}

fn tag(live: &Live) -> [(HeaderName, HeaderValue); 2] {
    // Digits, letters and quotes.
    let tag = HeaderValue::from_str(&live.etag).unwrap_or(HeaderValue::from_static("\"\""));
    [
        (ETAG, tag),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ]
}
