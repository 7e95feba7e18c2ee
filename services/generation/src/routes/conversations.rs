use axum::extract::State;
use http::StatusCode;
use touchstone_api::generation::{Conversation, Message};
use touchstone_api::{Page, PageQuery};
use touchstone_types::ConversationId;
use touchstone_web::responses::{CallerErrors, IdErrors, QueryErrors, StorageErrors};
use touchstone_web::{AppJson, AppPath, AppQuery, Caller, Problem};

use crate::service::Generation;

/// Lists the caller's conversations, the last grown first.
#[utoipa::path(get, path = "/conversations", tag = "generation",
    params(PageQuery),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Page<Conversation>), CallerErrors, QueryErrors))]
pub(super) async fn list(
    State(service): State<Generation>,
    caller: Caller,
    AppQuery(query): AppQuery<PageQuery>,
) -> Result<AppJson<Page<Conversation>>, Problem> {
    Ok(AppJson(service.conversations(&caller, &query).await?))
}

/// Reads one of the caller's conversations.
#[utoipa::path(get, path = "/conversations/{id}", tag = "generation",
    params(("id" = ConversationId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Conversation), CallerErrors, IdErrors))]
pub(super) async fn get(
    State(service): State<Generation>,
    caller: Caller,
    AppPath(id): AppPath<ConversationId>,
) -> Result<AppJson<Conversation>, Problem> {
    Ok(AppJson(service.conversation(&caller, id).await?))
}

/// Forgets one of the caller's conversations with its messages.
#[utoipa::path(delete, path = "/conversations/{id}", tag = "generation",
    params(("id" = ConversationId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 204, description = "Gone"), CallerErrors, IdErrors, StorageErrors))]
pub(super) async fn delete(
    State(service): State<Generation>,
    caller: Caller,
    AppPath(id): AppPath<ConversationId>,
) -> Result<StatusCode, Problem> {
    service.forget(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads the messages of one of the caller's conversations, in order.
#[utoipa::path(get, path = "/conversations/{id}/messages", tag = "generation",
    params(("id" = ConversationId, Path), PageQuery),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Page<Message>), CallerErrors, IdErrors, QueryErrors))]
pub(super) async fn messages(
    State(service): State<Generation>,
    caller: Caller,
    AppPath(id): AppPath<ConversationId>,
    AppQuery(query): AppQuery<PageQuery>,
) -> Result<AppJson<Page<Message>>, Problem> {
    Ok(AppJson(service.messages(&caller, id, &query).await?))
}
