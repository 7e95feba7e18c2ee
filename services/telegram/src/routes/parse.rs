//! `POST /channels/parse`.

use axum::extract::State;
use touchstone_api::telegram::{ParseRequest, Parsed, Wrapped};
use touchstone_web::responses::{
    BodyErrors, CallerErrors, ConflictErrors, IdErrors, StorageErrors,
};
use touchstone_web::{AppJson, Caller, Problem};

use crate::service::Telegram;

/// Takes the newest posts of a channel and writes them to a JSON and a text file.
#[utoipa::path(post, path = "/channels/parse", tag = "telegram",
    security(("bearer" = []), ("api_key" = [])), request_body = ParseRequest,
    responses((status = 200, body = Wrapped<Parsed>), CallerErrors, BodyErrors, IdErrors,
        ConflictErrors, StorageErrors))]
#[tracing::instrument(name = "telegram.parse", skip_all,
    fields(tenant.id = %caller.tenant, limit = request.limit))]
pub(super) async fn parse(
    State(telegram): State<Telegram>,
    caller: Caller,
    AppJson(request): AppJson<ParseRequest>,
) -> Result<AppJson<Wrapped<Parsed>>, Problem> {
    let deadline = telegram.deadline(&caller);
    let parsed = telegram
        .parse(
            &request.channel_username,
            request.limit,
            caller.tenant,
            deadline,
        )
        .await?;
    let message = format!(
        "Successfully parsed {} posts from {}",
        parsed.total_parsed, parsed.channel
    );
    Ok(AppJson(Wrapped::new(message, parsed)))
}
