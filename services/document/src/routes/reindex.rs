use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use touchstone_api::document::{ReindexRequest, ReindexResponse};
use touchstone_web::responses::{BodyErrors, CallerErrors, StorageErrors};
use touchstone_web::{AppJson, Caller, Problem};

use crate::service::Documents;

/// Writes the index anew from the stored documents: of all tenants for a service, of the tenant
/// for an administrator.
#[utoipa::path(post, path = "/documents/reindex", tag = "document",
    request_body = ReindexRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 202, description = "Queued", body = ReindexResponse),
        CallerErrors, BodyErrors, StorageErrors))]
#[tracing::instrument(name = "document.reindex", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn reindex(
    State(service): State<Documents>,
    caller: Caller,
    AppJson(request): AppJson<ReindexRequest>,
) -> Result<Response, Problem> {
    let documents = service.reindex(&caller, request.collection_reset).await?;
    Ok((StatusCode::ACCEPTED, AppJson(ReindexResponse { documents })).into_response())
}
