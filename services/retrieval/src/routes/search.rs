use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use touchstone_api::headers::DEGRADED;
use touchstone_api::retrieval::{SearchRequest, SearchResponse};
use touchstone_web::responses::{BodyErrors, CallerErrors, ConflictErrors};
use touchstone_web::{AppJson, Caller, Problem};

use crate::service::{Query, Retrieval};

/// Finds the chunks that answer a question, best first.
#[utoipa::path(post, path = "/search", tag = "retrieval",
    request_body = SearchRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = SearchResponse), CallerErrors, BodyErrors, ConflictErrors))]
#[tracing::instrument(name = "retrieval.search", skip_all,
    fields(tenant.id = %caller.tenant, limit = request.limit))]
pub(super) async fn search(
    State(service): State<Retrieval>,
    caller: Caller,
    AppJson(request): AppJson<SearchRequest>,
) -> Result<Response, Problem> {
    let query = Query::parse(request, service.config())?;
    let found = service.search(&caller, query).await?;
    let degraded = found.degraded.join(",");
    let mut response = AppJson(found).into_response();
    if !degraded.is_empty()
        && let Ok(value) = HeaderValue::from_str(&degraded)
    {
        response.headers_mut().insert(DEGRADED, value);
    }
    Ok(response)
}
