use axum::extract::State;
use http::StatusCode;
use touchstone_api::vector::{Collection, CollectionList, CreateCollectionRequest};
use touchstone_web::responses::{
    BodyErrors, CallerErrors, ConflictErrors, IdErrors, StorageErrors,
};
use touchstone_web::{AppJson, AppPath, Caller, Problem};

use crate::service::Vector;

/// Lists the collections, with the caller's own points.
#[utoipa::path(get, path = "/collections", tag = "vector",
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = CollectionList), CallerErrors))]
#[tracing::instrument(name = "vector.collections", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn list(
    State(service): State<Vector>,
    caller: Caller,
) -> Result<AppJson<CollectionList>, Problem> {
    Ok(AppJson(service.list(&caller).await?))
}

/// Creates a collection or confirms that it is as described. For administrators and services.
#[utoipa::path(put, path = "/collections/{name}", tag = "vector",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")),
    request_body = CreateCollectionRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Collection), CallerErrors, BodyErrors, IdErrors, ConflictErrors,
        StorageErrors))]
#[tracing::instrument(name = "vector.create", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn create(
    State(service): State<Vector>,
    caller: Caller,
    AppPath(name): AppPath<String>,
    AppJson(request): AppJson<CreateCollectionRequest>,
) -> Result<AppJson<Collection>, Problem> {
    Ok(AppJson(service.create(&caller, &name, request).await?))
}

/// Describes a collection, with the caller's own points.
#[utoipa::path(get, path = "/collections/{name}", tag = "vector",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Collection), CallerErrors, IdErrors))]
#[tracing::instrument(name = "vector.collection", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn get(
    State(service): State<Vector>,
    caller: Caller,
    AppPath(name): AppPath<String>,
) -> Result<AppJson<Collection>, Problem> {
    Ok(AppJson(service.get(&caller, &name).await?))
}

/// Removes a collection with the points of all tenants. For services only.
#[utoipa::path(delete, path = "/collections/{name}", tag = "vector",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 204, description = "Removed"), CallerErrors, IdErrors, StorageErrors))]
#[tracing::instrument(name = "vector.remove", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn remove(
    State(service): State<Vector>,
    caller: Caller,
    AppPath(name): AppPath<String>,
) -> Result<StatusCode, Problem> {
    service.remove(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
