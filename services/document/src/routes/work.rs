use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use touchstone_api::document::AcceptedDocument;
use touchstone_types::DocumentId;
use touchstone_web::responses::{CallerErrors, ConflictErrors, IdErrors, StorageErrors};
use touchstone_web::{AppJson, AppPath, Caller, Problem};

use crate::service::Documents;

/// Starts a failed or cancelled document again.
#[utoipa::path(post, path = "/documents/{id}/retry", tag = "document",
    params(("id" = DocumentId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 202, description = "Queued again", body = AcceptedDocument),
        CallerErrors, IdErrors, ConflictErrors, StorageErrors))]
#[tracing::instrument(name = "document.retry", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn retry(
    State(service): State<Documents>,
    caller: Caller,
    AppPath(id): AppPath<DocumentId>,
) -> Result<Response, Problem> {
    let accepted = service.retry(&caller, id).await?;
    Ok((StatusCode::ACCEPTED, AppJson(accepted)).into_response())
}

/// Stops a document that is not settled; what it has in the index is removed.
#[utoipa::path(post, path = "/documents/{id}/cancel", tag = "document",
    params(("id" = DocumentId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "Cancelled", body = AcceptedDocument),
        CallerErrors, IdErrors, ConflictErrors, StorageErrors))]
#[tracing::instrument(name = "document.cancel", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn cancel(
    State(service): State<Documents>,
    caller: Caller,
    AppPath(id): AppPath<DocumentId>,
) -> Result<AppJson<AcceptedDocument>, Problem> {
    Ok(AppJson(service.cancel(&caller, id).await?))
}
