use axum::extract::State;
use touchstone_api::vector::{
    CountResponse, Deletion, FilterRequest, UpsertRequest, UpsertResponse,
};
use touchstone_web::responses::{BodyErrors, CallerErrors, IdErrors, StorageErrors};
use touchstone_web::{AppJson, AppPath, Caller, Problem};

use crate::service::Vector;

/// Writes points, all or nothing; durable and searchable when answered.
#[utoipa::path(post, path = "/collections/{name}/points", tag = "vector",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")),
    request_body = UpsertRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = UpsertResponse), CallerErrors, BodyErrors, IdErrors,
        StorageErrors))]
#[tracing::instrument(name = "vector.upsert", skip_all,
    fields(tenant.id = %caller.tenant, points = request.points.len()))]
pub(super) async fn upsert(
    State(service): State<Vector>,
    caller: Caller,
    AppPath(name): AppPath<String>,
    AppJson(request): AppJson<UpsertRequest>,
) -> Result<AppJson<UpsertResponse>, Problem> {
    let upserted = service.upsert(&caller, &name, request.points).await?;
    Ok(AppJson(UpsertResponse { upserted }))
}

/// Removes the points of the documents that the filter names.
#[utoipa::path(post, path = "/collections/{name}/points/delete", tag = "vector",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")),
    request_body = Deletion,
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = CountResponse), CallerErrors, BodyErrors, IdErrors,
        StorageErrors))]
#[tracing::instrument(name = "vector.delete", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn delete(
    State(service): State<Vector>,
    caller: Caller,
    AppPath(name): AppPath<String>,
    AppJson(request): AppJson<FilterRequest>,
) -> Result<AppJson<CountResponse>, Problem> {
    let count = service.delete(&caller, &name, request.filter).await?;
    Ok(AppJson(CountResponse { count }))
}
