//! `GET /channels/{id}/messages`.

use axum::extract::State;
use touchstone_api::telegram::{Messages, MessagesQuery, Wrapped};
use touchstone_web::responses::{CallerErrors, ConflictErrors, IdErrors, QueryErrors};
use touchstone_web::{AppJson, AppPath, AppQuery, Caller, Problem};

use crate::error::Error;
use crate::service::Telegram;

/// Posts per page, unless the caller says otherwise, and at most.
const USUAL: u32 = 100;
const MOST: u32 = 1_000;

/// Gives posts of a channel, newest first.
#[utoipa::path(get, path = "/channels/{id}/messages", tag = "telegram",
    params(("id" = i64, Path, description = "Bare id of the channel"), MessagesQuery),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Wrapped<Messages>), CallerErrors, IdErrors, QueryErrors,
        ConflictErrors))]
#[tracing::instrument(name = "telegram.messages", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn messages(
    State(telegram): State<Telegram>,
    caller: Caller,
    AppPath(id): AppPath<i64>,
    AppQuery(query): AppQuery<MessagesQuery>,
) -> Result<AppJson<Wrapped<Messages>>, Problem> {
    let limit = query.limit.unwrap_or(USUAL);
    let (before, after) = (query.before.unwrap_or(0), query.after.unwrap_or(0));
    if !(1..=MOST).contains(&limit) {
        return Err(Error::Invalid(format!("`limit` must be from 1 to {MOST}")).into());
    }
    if query.before.is_some_and(|before| before < 1) || after < 0 {
        return Err(Error::Invalid("`before` and `after` are numbers of posts".into()).into());
    }
    let deadline = telegram.deadline(&caller);
    let posts = telegram
        .messages(id, before, after, limit as usize, deadline)
        .await?;
    let message = format!("Found {} posts", posts.len());
    Ok(AppJson(Wrapped::new(message, Messages { posts })))
}
