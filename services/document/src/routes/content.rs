use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use serde::Deserialize;
use touchstone_api::document::Chunk;
use touchstone_api::{Page, PageQuery};
use touchstone_types::DocumentId;
use touchstone_web::responses::{CallerErrors, ConflictErrors, IdErrors, QueryErrors};
use touchstone_web::{AppJson, AppPath, AppQuery, Caller, Problem};
use utoipa::IntoParams;

use crate::domain::disposition::attachment;
use crate::service::Documents;

/// Parameters of `GET /documents/{id}/content`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ContentQuery {
    /// The file as it was uploaded, instead of its text.
    #[serde(default)]
    original: bool,
}

/// Gives the stored text, to which all offsets refer; or, with `original=true`, the file as a
/// download.
#[utoipa::path(get, path = "/documents/{id}/content", tag = "document",
    params(("id" = DocumentId, Path), ContentQuery),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The text, or the file",
            content((String = "text/plain"), (Vec<u8> = "application/octet-stream"))),
        CallerErrors, IdErrors, QueryErrors, ConflictErrors))]
#[tracing::instrument(name = "document.content", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn content(
    State(service): State<Documents>,
    caller: Caller,
    AppPath(id): AppPath<DocumentId>,
    AppQuery(query): AppQuery<ContentQuery>,
) -> Result<Response, Problem> {
    let nosniff = (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !query.original {
        let text = service.text(&caller, id).await?;
        let plain = (
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        return Ok(([plain, nosniff], text.body).into_response());
    }
    // What came from outside is never shown by a browser, whatever it says it is.
    let original = service.original(&caller, id).await?;
    let disposition = HeaderValue::from_str(&attachment(&original.filename))
        .unwrap_or(HeaderValue::from_static("attachment"));
    let bytes = (
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    Ok((
        [bytes, nosniff, (CONTENT_DISPOSITION, disposition)],
        original.body,
    )
        .into_response())
}

/// Lists the chunks of the current version, in order.
#[utoipa::path(get, path = "/documents/{id}/chunks", tag = "document",
    params(("id" = DocumentId, Path), PageQuery),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Page<Chunk>), CallerErrors, IdErrors, QueryErrors))]
#[tracing::instrument(name = "document.chunks", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn chunks(
    State(service): State<Documents>,
    caller: Caller,
    AppPath(id): AppPath<DocumentId>,
    AppQuery(query): AppQuery<PageQuery>,
) -> Result<AppJson<Page<Chunk>>, Problem> {
    Ok(AppJson(
        service
            .chunks(&caller, id, query.limit, query.cursor.as_deref())
            .await?,
    ))
}
