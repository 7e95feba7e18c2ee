use axum::extract::State;
use touchstone_api::vector::{
    CountResponse, FilterRequest, QueryRequest, QueryResponse, ScrollRequest, ScrollResponse,
};
use touchstone_web::responses::{BodyErrors, CallerErrors, IdErrors};
use touchstone_web::{AppJson, AppPath, Caller, Problem};

use crate::service::Vector;

/// Finds the best points of each signal among the caller's own, exactly.
#[utoipa::path(post, path = "/collections/{name}/query", tag = "vector",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")),
    request_body = QueryRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = QueryResponse), CallerErrors, BodyErrors, IdErrors))]
#[tracing::instrument(name = "vector.query", skip_all,
    fields(tenant.id = %caller.tenant, limit = request.limit))]
pub(super) async fn query(
    State(service): State<Vector>,
    caller: Caller,
    AppPath(name): AppPath<String>,
    AppJson(request): AppJson<QueryRequest>,
) -> Result<AppJson<QueryResponse>, Problem> {
    Ok(AppJson(service.query(&caller, &name, request).await?))
}

/// Lists the caller's own points, ascending by id.
#[utoipa::path(post, path = "/collections/{name}/scroll", tag = "vector",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")),
    request_body = ScrollRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = ScrollResponse), CallerErrors, BodyErrors, IdErrors))]
#[tracing::instrument(name = "vector.scroll", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn scroll(
    State(service): State<Vector>,
    caller: Caller,
    AppPath(name): AppPath<String>,
    AppJson(request): AppJson<ScrollRequest>,
) -> Result<AppJson<ScrollResponse>, Problem> {
    Ok(AppJson(service.scroll(&caller, &name, request).await?))
}

/// Counts the caller's own points.
#[utoipa::path(post, path = "/collections/{name}/count", tag = "vector",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")),
    request_body = FilterRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = CountResponse), CallerErrors, BodyErrors, IdErrors))]
#[tracing::instrument(name = "vector.count", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn count(
    State(service): State<Vector>,
    caller: Caller,
    AppPath(name): AppPath<String>,
    AppJson(request): AppJson<FilterRequest>,
) -> Result<AppJson<CountResponse>, Problem> {
    let count = service.count(&caller, &name, request.filter).await?;
    Ok(AppJson(CountResponse { count }))
}
