//! Following channels, and how complete what is known of them is.

use axum::extract::State;
use touchstone_api::telegram::{Completeness, Following, Wrapped};
use touchstone_web::responses::{CallerErrors, ConflictErrors, IdErrors, StorageErrors};
use touchstone_web::{AppJson, AppPath, Caller, Problem};

use crate::error::Error;
use crate::service::Telegram;

/// Follows a channel: its history is read, and from there on every post, edit and deletion reaches
/// the caller's documents. Following twice changes nothing.
#[utoipa::path(post, path = "/channels/{id}/sync", tag = "telegram",
    params(("id" = i64, Path, description = "Bare id of the channel")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Wrapped<Following>), CallerErrors, IdErrors, ConflictErrors,
        StorageErrors))]
#[tracing::instrument(name = "telegram.follow", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn follow(
    State(telegram): State<Telegram>,
    caller: Caller,
    AppPath(id): AppPath<i64>,
) -> Result<AppJson<Wrapped<Following>>, Problem> {
    let chat = telegram.by_id(id, telegram.deadline(&caller)).await?;
    telegram.mirror().follow(&chat, caller.tenant).await?;
    let message = format!("Following {}", chat.title);
    let following = Following {
        channel_id: id,
        following: true,
    };
    Ok(AppJson(Wrapped::new(message, following)))
}

/// Ends following a channel; what became documents stays.
#[utoipa::path(delete, path = "/channels/{id}/sync", tag = "telegram",
    params(("id" = i64, Path, description = "Bare id of the channel")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Wrapped<Following>), CallerErrors, IdErrors))]
#[tracing::instrument(name = "telegram.unfollow", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn unfollow(
    State(telegram): State<Telegram>,
    caller: Caller,
    AppPath(id): AppPath<i64>,
) -> Result<AppJson<Wrapped<Following>>, Problem> {
    if !telegram.mirror().unfollow(id, caller.tenant).await? {
        return Err(Error::NotFollowed.into());
    }
    let following = Following {
        channel_id: id,
        following: false,
    };
    Ok(AppJson(Wrapped::new("Not following any more", following)))
}

/// Tells which numbers of a channel are accounted for and how, with a chain of digests over what is
/// stored.
#[utoipa::path(get, path = "/channels/{id}/completeness", tag = "telegram",
    params(("id" = i64, Path, description = "Bare id of the channel")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Wrapped<Completeness>), CallerErrors, IdErrors))]
#[tracing::instrument(name = "telegram.completeness", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn completeness(
    State(telegram): State<Telegram>,
    caller: Caller,
    AppPath(id): AppPath<i64>,
) -> Result<AppJson<Wrapped<Completeness>>, Problem> {
    let report = telegram.completeness(id, caller.tenant).await?;
    let message = if report.complete {
        "Complete"
    } else {
        "Not complete"
    };
    Ok(AppJson(Wrapped::new(message, report)))
}
