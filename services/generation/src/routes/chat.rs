use axum::extract::State;
use axum::response::{IntoResponse, Response};
use touchstone_api::openai::{
    ChatContent, ChatFrame, ChatMessage, ChatRequest, ChatResponse, ModelObject, ModelsResponse,
    TOUCHSTONE_MODEL,
};
use touchstone_types::MessageId;
use touchstone_web::responses::{BodyErrors, CallerErrors, IdErrors, StorageErrors};
use touchstone_web::{AppJson, Caller, Problem, sse};

use super::ask::with_degraded;
use super::chunks::Head;
use crate::config::Release;
use crate::domain::prompt::{Speaker, Turn};
use crate::error::Error;
use crate::service::{Generation, Wish, check_question, collect};

/// Most messages of a request.
const MAX_MESSAGES: usize = 1_000;

/// Completes a chat, in the OpenAI dialect.
///
/// The model `touchstone` answers the last user message from the caller's documents; its pieces are
/// sent only after their claim was checked, and the last chunk carries the citations. Any other
/// model is a provider's name, which answers without retrieval.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "openai",
    request_body = ChatRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The answer, or its chunks",
        content((ChatResponse = "application/json"), (ChatFrame = "text/event-stream"))),
        CallerErrors, BodyErrors, IdErrors, StorageErrors))]
#[tracing::instrument(name = "generation.chat", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn completions(
    State(service): State<Generation>,
    caller: Caller,
    AppJson(request): AppJson<ChatRequest>,
) -> Result<Response, Problem> {
    let parts = service.parts();
    let head = Head {
        id: format!("chatcmpl-{}", parts.ids.next::<MessageId>()),
        created: parts.clock.now().timestamp(),
        model: request.model.clone(),
    };
    if request.model == TOUCHSTONE_MODEL {
        return asked(service, caller, request, head).await;
    }
    let turns = turns(&request.messages);
    check(&request, &turns)?;
    let ChatRequest {
        model,
        max_tokens,
        temperature,
        ..
    } = &request;
    let deltas = service
        .plain(model, turns, *max_tokens, *temperature)
        .await?;
    if request.stream.unwrap_or(false) {
        let options = request.stream_options.unwrap_or_default();
        return Ok(sse::respond(head.plain_frames(deltas, options)));
    }
    let plain = collect(deltas).await.map_err(Error::Provider)?;
    Ok(AppJson(head.plain(plain)).into_response())
}

/// Answers through retrieval.
async fn asked(
    service: Generation,
    caller: Caller,
    request: ChatRequest,
    head: Head,
) -> Result<Response, Problem> {
    let turns = turns(&request.messages);
    check(&request, &turns)?;
    let last = turns.iter().rposition(|turn| turn.speaker == Speaker::User);
    let last = last.ok_or(Error::Invalid {
        field: "messages",
        reason: "need a user message",
    })?;
    let question = check_question(&turns[last].text, "messages")?;
    let spoken = |turn: &&Turn| turn.speaker != Speaker::System;
    let history: Vec<Turn> = turns[..last].iter().filter(spoken).cloned().collect();
    let wish = Wish {
        max_tokens: request.max_tokens,
        temperature: request.temperature,
        ..Wish::default()
    };
    let mut prepared = service
        .prepare_with(&caller, question, &history, wish)
        .await?;
    // Clients of this dialect cannot take back what was sent.
    prepared.release = Release::Claim;
    let mut answer = service.answer(prepared);
    if request.stream.unwrap_or(false) {
        let degraded = answer.settle().await;
        let options = request.stream_options.unwrap_or_default();
        let response = sse::respond(head.asked_frames(answer.events(), options));
        return Ok(with_degraded(response, &degraded));
    }
    let whole = answer.whole().await?;
    let degraded = whole.degraded.clone();
    Ok(with_degraded(
        AppJson(head.asked(whole)).into_response(),
        &degraded,
    ))
}

/// Lists the models that `/v1/chat/completions` knows.
#[utoipa::path(get, path = "/v1/models", tag = "openai",
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = ModelsResponse), CallerErrors))]
pub(super) async fn models(
    State(service): State<Generation>,
    _caller: Caller,
) -> AppJson<ModelsResponse> {
    let providers = service.providers().items;
    let names = std::iter::once(TOUCHSTONE_MODEL)
        .chain(providers.iter().map(|provider| provider.name.as_str()));
    let model = |name: &str| ModelObject {
        id: name.to_owned(),
        object: "model".to_owned(),
        created: 0,
        owned_by: "touchstone".to_owned(),
    };
    let data = names.map(model).collect();
    AppJson(ModelsResponse {
        object: "list".to_owned(),
        data,
    })
}

fn check(request: &ChatRequest, turns: &[Turn]) -> Result<(), Error> {
    if turns.is_empty() || turns.len() > MAX_MESSAGES {
        return Err(Error::Invalid {
            field: "messages",
            reason: "need 1 to 1,000 messages",
        });
    }
    if request.max_tokens == Some(0) {
        return Err(Error::Invalid {
            field: "max_tokens",
            reason: "must be positive",
        });
    }
    if request
        .temperature
        .is_some_and(|t| !(0.0..=2.0).contains(&t))
    {
        return Err(Error::Invalid {
            field: "temperature",
            reason: "must be from 0 to 2",
        });
    }
    Ok(())
}

fn turns(messages: &[ChatMessage]) -> Vec<Turn> {
    let turn = |message: &ChatMessage| {
        let speaker = match message.role.as_str() {
            "system" | "developer" => Speaker::System,
            "assistant" => Speaker::Assistant,
            _ => Speaker::User,
        };
        Turn::new(
            speaker,
            message
                .content
                .as_ref()
                .map(ChatContent::text)
                .unwrap_or_default(),
        )
    };
    messages.iter().map(turn).collect()
}
