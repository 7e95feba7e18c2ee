use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use touchstone_api::document::{AcceptedDocument, CreateDocumentRequest};
use touchstone_types::DocumentId;
use touchstone_web::responses::{
    BodyErrors, CallerErrors, ConflictErrors, IdErrors, StorageErrors,
};
use touchstone_web::{AppJson, AppPath, Caller, Problem};

use super::upload::{UploadForm, idempotency_key, read};
use crate::service::Documents;

/// Takes a document. 202 means that it is durable; it is searchable when its status is `indexed`.
#[utoipa::path(post, path = "/documents", tag = "document",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        pattern = "^[!-~]{1,255}$",
        description = "Makes the request repeatable: the same key gives the first answer")),
    request_body(content((CreateDocumentRequest = "application/json"), (UploadForm = "multipart/form-data"))),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 202, description = "Accepted: durable", body = AcceptedDocument),
        CallerErrors, BodyErrors, StorageErrors))]
#[tracing::instrument(name = "document.create", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn create(
    State(service): State<Documents>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let key = idempotency_key(request.headers())?;
    let upload = read(request, service.document_limit()).await?;
    let accepted = service.accept(&caller, upload, None, key).await?;
    Ok((StatusCode::ACCEPTED, AppJson(accepted)).into_response())
}

/// Takes a new version of a document. The old one is found until the new one is indexed.
#[utoipa::path(put, path = "/documents/{id}", tag = "document",
    params(("id" = DocumentId, Path),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        pattern = "^[!-~]{1,255}$",
        description = "Makes the request repeatable: the same key gives the first answer")),
    request_body(content((CreateDocumentRequest = "application/json"), (UploadForm = "multipart/form-data"))),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 202, description = "Accepted: durable", body = AcceptedDocument),
        CallerErrors, BodyErrors, IdErrors, ConflictErrors, StorageErrors))]
#[tracing::instrument(name = "document.replace", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn replace(
    State(service): State<Documents>,
    caller: Caller,
    AppPath(id): AppPath<DocumentId>,
    request: Request,
) -> Result<Response, Problem> {
    // Before a large body is read for nothing.
    service.get(&caller, id).await?;
    let key = idempotency_key(request.headers())?;
    let upload = read(request, service.document_limit()).await?;
    let accepted = service.accept(&caller, upload, Some(id), key).await?;
    Ok((StatusCode::ACCEPTED, AppJson(accepted)).into_response())
}
