use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use touchstone_api::document::{AcceptedDocument, DeadLetter};
use touchstone_api::{Page, PageQuery};
use touchstone_types::DocumentId;
use touchstone_web::responses::{
    CallerErrors, ConflictErrors, IdErrors, QueryErrors, StorageErrors,
};
use touchstone_web::{AppJson, AppPath, AppQuery, Caller, Problem};

use crate::service::Documents;

/// Lists the documents that were given up, newest first.
#[utoipa::path(get, path = "/dead-letters", tag = "document",
    params(PageQuery),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Page<DeadLetter>), CallerErrors, QueryErrors))]
#[tracing::instrument(name = "document.dead_letters", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn list(
    State(service): State<Documents>,
    caller: Caller,
    AppQuery(query): AppQuery<PageQuery>,
) -> Result<AppJson<Page<DeadLetter>>, Problem> {
    Ok(AppJson(
        service
            .dead_letters(&caller, query.limit, query.cursor.as_deref())
            .await?,
    ))
}

/// Starts a document that was given up again; the id is the document's.
#[utoipa::path(post, path = "/dead-letters/{id}/replay", tag = "document",
    params(("id" = DocumentId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 202, description = "Queued again", body = AcceptedDocument),
        CallerErrors, IdErrors, ConflictErrors, StorageErrors))]
#[tracing::instrument(name = "document.replay", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn replay(
    State(service): State<Documents>,
    caller: Caller,
    AppPath(id): AppPath<DocumentId>,
) -> Result<Response, Problem> {
    let accepted = service.retry(&caller, id).await?;
    Ok((StatusCode::ACCEPTED, AppJson(accepted)).into_response())
}
