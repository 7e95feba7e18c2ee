use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::{HeaderName, HeaderValue};
use serde_json::Value;
use touchstone_api::generation::{AskEvent, AskFrame, AskRequest, AskResponse};
use touchstone_api::headers::DEGRADED;
use touchstone_web::responses::{BodyErrors, CallerErrors, IdErrors, StorageErrors};
use touchstone_web::sse::{self, Frame};
use touchstone_web::{AppJson, Caller, Problem};

use crate::service::Generation;

/// Answers a question from the caller's documents, with verified citations.
///
/// With `stream: true` the answer comes as server-sent events: `retrieval`, `token` (many),
/// `citation` (as they close), `verification`, `usage`, `done`; `error` ends a stream that fails.
#[utoipa::path(post, path = "/ask", tag = "generation",
    request_body = AskRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The answer, or its events",
        content((AskResponse = "application/json"), (AskFrame = "text/event-stream"))),
        CallerErrors, BodyErrors, IdErrors, StorageErrors))]
#[tracing::instrument(name = "generation.ask", skip_all,
    fields(tenant.id = %caller.tenant, stream = request.stream))]
pub(super) async fn ask(
    State(service): State<Generation>,
    caller: Caller,
    AppJson(request): AppJson<AskRequest>,
) -> Result<Response, Problem> {
    let is_stream = request.stream;
    let prepared = service.prepare(&caller, request).await?;
    let mut answer = service.answer(prepared);
    if is_stream {
        let degraded = answer.settle().await;
        let response = sse::respond(answer.events().map(|event| frame(&event)));
        return Ok(with_degraded(response, &degraded));
    }
    let whole = answer.whole().await?;
    let degraded = whole.degraded.clone();
    Ok(with_degraded(AppJson(whole).into_response(), &degraded))
}

/// The event's name and the JSON of its content.
fn frame(event: &AskEvent) -> Frame {
    let mut value = serde_json::to_value(event).unwrap_or_default();
    let name = value
        .get("event")
        .and_then(Value::as_str)
        .map(ToOwned::to_owned);
    let data = value.get_mut("data").map(Value::take).unwrap_or_default();
    Frame {
        event: name,
        data: data.to_string(),
    }
}

/// Names the missing parts in the header, if there are any.
pub(super) fn with_degraded(mut response: Response, degraded: &[String]) -> Response {
    if !degraded.is_empty()
        && let Ok(value) = HeaderValue::from_str(&degraded.join(", "))
    {
        response
            .headers_mut()
            .insert(HeaderName::from_static(DEGRADED), value);
    }
    response
}
