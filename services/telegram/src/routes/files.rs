//! The exports.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use tokio_util::io::ReaderStream;
use touchstone_api::telegram::{ExportList, Wrapped};
use touchstone_web::responses::{CallerErrors, IdErrors};
use touchstone_web::{AppJson, AppPath, Caller, Problem};

use crate::error::Error;
use crate::service::Telegram;

/// Lists the exports, newest first.
#[utoipa::path(get, path = "/files", tag = "telegram",
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Wrapped<ExportList>), CallerErrors))]
#[tracing::instrument(name = "telegram.files", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn list(
    State(telegram): State<Telegram>,
    caller: Caller,
) -> Result<AppJson<Wrapped<ExportList>>, Problem> {
    let exports = telegram.exports().clone();
    // There may be thousands, and each is looked at.
    let listed = tokio::task::spawn_blocking(move || exports.list()).await;
    let files = listed.map_err(std::io::Error::other).map_err(Error::from)?;
    let files = files.map_err(Error::from)?;
    let message = format!("Found {} files", files.len());
    Ok(AppJson(Wrapped::new(message, ExportList { files })))
}

/// Downloads an export.
#[utoipa::path(get, path = "/files/{name}", tag = "telegram",
    params(("name" = String, Path, description = "As in the list")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The file",
            content((Vec<u8> = "application/octet-stream"))),
        CallerErrors, IdErrors))]
#[tracing::instrument(name = "telegram.file", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn download(
    State(telegram): State<Telegram>,
    caller: Caller,
    AppPath(name): AppPath<String>,
) -> Result<Response, Problem> {
    let found = telegram.exports().read(&name).map_err(Error::from)?;
    let (file, size) = found.ok_or(Error::UnknownFile)?;
    let body = Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file)));
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (CONTENT_LENGTH, size.to_string()),
        // The name is one of ours: letters, digits, `_`, `-` and an ending.
        (
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    Ok((headers, body).into_response())
}
