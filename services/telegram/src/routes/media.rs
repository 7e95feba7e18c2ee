//! `GET /media/{channel}/{message}`.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use touchstone_web::responses::{CallerErrors, ConflictErrors, IdErrors};
use touchstone_web::{AppPath, Caller, Problem};

use crate::service::Telegram;

/// Streams the media of a post.
#[utoipa::path(get, path = "/media/{channel}/{message}", tag = "telegram",
    params(("channel" = i64, Path, description = "Bare id of the channel"),
        ("message" = i32, Path, description = "Number of the post")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The file",
            content((Vec<u8> = "application/octet-stream"))),
        CallerErrors, IdErrors, ConflictErrors))]
#[tracing::instrument(name = "telegram.media", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn media(
    State(telegram): State<Telegram>,
    caller: Caller,
    AppPath((channel, message)): AppPath<(i64, i32)>,
) -> Result<Response, Problem> {
    let deadline = telegram.deadline(&caller);
    let chat = telegram.by_id(channel, deadline).await?;
    let media = telegram.media(&chat, message, deadline).await?;
    let headers = [
        // What strangers posted is saved, never shown: whatever it says it is.
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (CONTENT_LENGTH, media.size.to_string()),
        (
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"{}\"", safe(&media.name)),
        ),
    ];
    let mut pieces = Box::pin(telegram.download(chat, message, media, deadline));
    // Whatever refuses the first piece can still be told.
    let first = pieces.next().await.transpose()?;
    let body = Body::from_stream(stream::iter(first.map(Ok)).chain(pieces));
    Ok((headers, body).into_response())
}

/// A stranger's file name, harmless.
fn safe(name: &str) -> String {
    let kept = name.chars().take(120).map(|letter| match letter {
        letter if letter.is_ascii_alphanumeric() || "._-".contains(letter) => letter,
        _ => '_',
    });
    let name: String = kept.collect();
    match name.trim_start_matches('.') {
        "" => "media".into(),
        name => name.to_owned(),
    }
}
