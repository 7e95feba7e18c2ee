//! The account's channels.

use axum::extract::State;
use touchstone_api::telegram::{ChannelRequest, Channels, Membership, Wrapped};
use touchstone_web::responses::{BodyErrors, CallerErrors, ConflictErrors, IdErrors};
use touchstone_web::{AppJson, Caller, Problem};

use crate::chat::Chat;
use crate::domain::target::Target;
use crate::error::Error;
use crate::service::Telegram;

/// Lists the channels that the account has joined.
#[utoipa::path(get, path = "/channels/list", tag = "telegram",
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Wrapped<Channels>), CallerErrors, ConflictErrors))]
#[tracing::instrument(name = "telegram.list", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn list(
    State(telegram): State<Telegram>,
    caller: Caller,
) -> Result<AppJson<Wrapped<Channels>>, Problem> {
    let channels = telegram.dialogs(telegram.deadline(&caller)).await?;
    let message = format!("Found {} channels", channels.len());
    Ok(AppJson(Wrapped::new(message, Channels { channels })))
}

/// Joins a channel by name or invite link; joining twice changes nothing.
#[utoipa::path(post, path = "/channels/join", tag = "telegram",
    security(("bearer" = []), ("api_key" = [])), request_body = ChannelRequest,
    responses((status = 200, body = Wrapped<Membership>), CallerErrors, BodyErrors, IdErrors,
        ConflictErrors))]
#[tracing::instrument(name = "telegram.join", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn join(
    State(telegram): State<Telegram>,
    caller: Caller,
    AppJson(request): AppJson<ChannelRequest>,
) -> Result<AppJson<Wrapped<Membership>>, Problem> {
    let target = Target::parse(&request.channel_username).map_err(Error::from)?;
    let chat = telegram.join(&target, telegram.deadline(&caller)).await?;
    let message = format!("Joined {}", chat.title);
    Ok(AppJson(Wrapped::new(message, membership(chat))))
}

/// Leaves a channel; leaving one that was not joined changes nothing.
#[utoipa::path(post, path = "/channels/leave", tag = "telegram",
    security(("bearer" = []), ("api_key" = [])), request_body = ChannelRequest,
    responses((status = 200, body = Wrapped<Membership>), CallerErrors, BodyErrors, IdErrors,
        ConflictErrors))]
#[tracing::instrument(name = "telegram.leave", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn leave(
    State(telegram): State<Telegram>,
    caller: Caller,
    AppJson(request): AppJson<ChannelRequest>,
) -> Result<AppJson<Wrapped<Membership>>, Problem> {
    let target = Target::parse(&request.channel_username).map_err(Error::from)?;
    let chat = telegram.leave(&target, telegram.deadline(&caller)).await?;
    let message = format!("Left {}", chat.title);
    Ok(AppJson(Wrapped::new(message, membership(chat))))
}

fn membership(chat: Chat) -> Membership {
    Membership {
        id: chat.id,
        title: chat.title,
        username: chat.username,
        joined: chat.joined,
    }
}
