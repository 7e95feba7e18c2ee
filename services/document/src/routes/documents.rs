use axum::extract::State;
use http::StatusCode;
use touchstone_api::Page;
use touchstone_api::document::{Document, ListDocumentsQuery, Timeline};
use touchstone_types::DocumentId;
use touchstone_web::responses::{CallerErrors, IdErrors, QueryErrors, StorageErrors};
use touchstone_web::{AppJson, AppPath, AppQuery, Caller, Problem};

use crate::service::Documents;
use crate::store::ListFilter;

/// Lists the tenant's documents, newest first.
#[utoipa::path(get, path = "/documents", tag = "document",
    params(ListDocumentsQuery),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Page<Document>), CallerErrors, QueryErrors))]
#[tracing::instrument(name = "document.list", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn list(
    State(service): State<Documents>,
    caller: Caller,
    AppQuery(query): AppQuery<ListDocumentsQuery>,
) -> Result<AppJson<Page<Document>>, Problem> {
    let filter = ListFilter {
        status: query.status,
        source: query.source,
        created_after: query.created_after,
        created_before: query.created_before,
    };
    Ok(AppJson(
        service
            .list(&caller, &filter, query.limit, query.cursor.as_deref())
            .await?,
    ))
}

/// Describes a document.
#[utoipa::path(get, path = "/documents/{id}", tag = "document",
    params(("id" = DocumentId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Document), CallerErrors, IdErrors))]
#[tracing::instrument(name = "document.get", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn get(
    State(service): State<Documents>,
    caller: Caller,
    AppPath(id): AppPath<DocumentId>,
) -> Result<AppJson<Document>, Problem> {
    Ok(AppJson(service.get(&caller, id).await?))
}

/// Deletes a document. It is gone for every caller at once; its points leave the index shortly
/// after.
#[utoipa::path(delete, path = "/documents/{id}", tag = "document",
    params(("id" = DocumentId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 204, description = "Deleted"), CallerErrors, IdErrors, StorageErrors))]
#[tracing::instrument(name = "document.delete", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn delete(
    State(service): State<Documents>,
    caller: Caller,
    AppPath(id): AppPath<DocumentId>,
) -> Result<StatusCode, Problem> {
    service.delete(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells the life of a document, oldest first.
#[utoipa::path(get, path = "/documents/{id}/timeline", tag = "document",
    params(("id" = DocumentId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Timeline), CallerErrors, IdErrors))]
#[tracing::instrument(name = "document.timeline", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn timeline(
    State(service): State<Documents>,
    caller: Caller,
    AppPath(id): AppPath<DocumentId>,
) -> Result<AppJson<Timeline>, Problem> {
    Ok(AppJson(service.timeline(&caller, id).await?))
}
