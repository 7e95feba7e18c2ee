//! `POST /ask`: forwarded like everything else. When generation is away, answered with passages
//! from retrieval; when that is away too, with the last answer to the same question.

use std::fmt::Write;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use touchstone_api::generation::{
    AskEvent, AskRequest, AskResponse, Citation, DoneEvent, RetrievalSummary, RetrievedPassage,
    TokenEvent, Usage, Verdict, Verification,
};
use touchstone_api::headers::DEGRADED;
use touchstone_api::retrieval::{Hit, SearchRequest, SearchResponse};
use touchstone_identity::{Caller, RequestContext};
use touchstone_types::ConversationId;
use touchstone_web::{AppJson, Problem, RequestError, sse};
use uuid::Uuid;

use crate::Error;
use crate::gateway::Gateway;
use crate::layers::Exchange;
use crate::metrics::Rung;
use crate::routes::forward::{Outgoing, passed_on, send};
use crate::traffic::{self, Kept};

/// What is missing from a degraded answer.
const GENERATION: &str = "generation";
/// What else is missing from an answer that was kept.
const RETRIEVAL: &str = "retrieval";
/// Says that the answer is an old one.
const STALE: &str = "stale-answer";
/// Passages of an answer unless the request says otherwise; generation's default too.
const PASSAGES: usize = 5;

/// Asks generation; answers with passages when it is away.
pub(crate) async fn ask(
    gateway: &Gateway,
    exchange: &Exchange,
    context: &RequestContext,
    parts: &Parts,
    body: Body,
) -> Result<Response, Problem> {
    let body = body
        .collect()
        .await
        .map_err(|_| Error::Incomplete)?
        .to_bytes();
    let caller = parts.extensions.get::<Caller>();
    let epoch = caller.map(|caller| traffic::epoch_of_answers(gateway, caller));
    let outgoing = Outgoing::Whole(body.clone());
    let answered = send(gateway, exchange, context, parts, outgoing).await;
    let failure = match answered {
        Ok(response) if !is_failure(response.status()) => {
            let (response, whole) = traffic::readable(gateway, response).await;
            if let (Some(caller), Some(epoch), Some(whole)) = (caller, epoch, whole)
                && let Ok(question) = serde_json::from_slice(&body)
            {
                traffic::remember(gateway, &question, caller, epoch, whole);
            }
            return Ok(passed_on(gateway, exchange, response));
        }
        Ok(response) => passed_on(gateway, exchange, response),
        Err(error) if error.may_be_degraded() => Problem::from(error).into_response(),
        Err(error) => return Err(error.into()),
    };
    let Some(caller) = caller else {
        return Ok(failure);
    };
    let request = read(parts, &body)?;
    let search = SearchRequest {
        query: request.question.clone(),
        limit: Some(request.limit.unwrap_or(PASSAGES)),
        filter: request.filter.clone(),
        ..SearchRequest::default()
    };
    match gateway.retrieval().search(caller, &search).await {
        Ok(found) => {
            let id = Some(context.request_id.clone());
            gateway.degraded(exchange, Rung::Passages, id);
            Ok(answer(&request, compose(&request, found)))
        }
        Err(error) => {
            tracing::debug!(error = %touchstone_error::chain(&error), "no passages either");
            let question = serde_json::from_slice(&body).unwrap_or_default();
            let old =
                traffic::recall(gateway, &question, caller).and_then(|kept| again(&request, &kept));
            let Some(old) = old else {
                return Ok(failure);
            };
            let id = Some(context.request_id.clone());
            gateway.degraded(exchange, Rung::StaleAnswer, id);
            Ok(answer(&request, old))
        }
    }
}

/// Whether generation failed, rather than refused.
fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502..=504)
}

/// An answer that was kept, given again.
fn again(request: &AskRequest, kept: &Kept) -> Option<AskResponse> {
    let mut answer: AskResponse = serde_json::from_slice(&kept.body).ok()?;
    let missing = [GENERATION, RETRIEVAL, STALE].map(str::to_owned);
    answer.degraded.retain(|part| !missing.contains(part));
    answer.degraded.splice(0..0, missing);
    // This answer is in no conversation, and nobody worked for it.
    answer.conversation_id = conversation(request);
    answer.usage = Usage::default();
    Some(answer)
}

/// Reads what generation would have read, with the same refusals.
fn read(parts: &Parts, body: &[u8]) -> Result<AskRequest, Problem> {
    let json = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if !json.is_some_and(|value| value.to_ascii_lowercase().starts_with("application/json")) {
        return Err(RequestError::MediaType {
            expected: "application/json".into(),
        }
        .into());
    }
    let request: AskRequest = AppJson::<AskRequest>::parse(body)?;
    let length = request.question.chars().count();
    if request.question.trim().is_empty() || length > 2000 {
        let detail = "`question`: must have 1 to 2,000 characters".to_owned();
        return Err(RequestError::Invalid(detail).into());
    }
    if request
        .limit
        .is_some_and(|limit| !(1..=20).contains(&limit))
    {
        return Err(RequestError::Invalid("`limit`: must be 1 to 20".to_owned()).into());
    }
    Ok(request)
}

fn answer(request: &AskRequest, answer: AskResponse) -> Response {
    let degraded = answer.degraded.join(", ");
    let mut response = if request.stream {
        let frames = events(answer).into_iter().filter_map(|event| frame(&event));
        sse::respond(stream::iter(frames.collect::<Vec<_>>()))
    } else {
        AppJson(answer).into_response()
    };
    if let Ok(value) = HeaderValue::from_str(&degraded) {
        response
            .headers_mut()
            .insert(HeaderName::from_static(DEGRADED), value);
    }
    response
}

/// An answer that is nothing but passages, each its own citation.
fn compose(request: &AskRequest, found: SearchResponse) -> AskResponse {
    let mut degraded = vec![GENERATION.to_owned()];
    degraded.extend(found.degraded.into_iter().filter(|part| part != GENERATION));
    let passages: Vec<_> = (1..)
        .zip(&found.hits)
        .map(|(marker, hit)| passage(marker, hit))
        .collect();
    let citations: Vec<_> = (1..)
        .zip(found.hits)
        .map(|(marker, hit)| citation(marker, hit))
        .collect();
    AskResponse {
        answer: text(&request.question, &citations),
        verification: Verification {
            checked: citations.len(),
            passed: citations.len(),
            struck: 0,
            abstained: citations.is_empty(),
        },
        citations,
        retrieval: RetrievalSummary {
            passages,
            signals: found.signals,
            dense_model: found.dense_model,
            confidence: found.confidence,
        },
        usage: Usage::default(),
        provider: "passages".to_owned(),
        conversation_id: conversation(request),
        degraded,
    }
}

/// Nothing was kept: only generation keeps conversations.
fn conversation(request: &AskRequest) -> ConversationId {
    request
        .conversation_id
        .unwrap_or(ConversationId::from_uuid(Uuid::nil()))
}

fn text(question: &str, citations: &[Citation]) -> String {
    let russian = question
        .chars()
        .any(|letter| matches!(letter, 'а'..='я' | 'А'..='Я' | 'ё' | 'Ё'));
    let mut text = match (russian, citations.is_empty()) {
        (true, false) => "Ответ сейчас не составить; вот найденные отрывки:",
        (true, true) => "Ответ сейчас не составить, и подходящих отрывков не нашлось.",
        (false, false) => "No answer can be written at the moment; these passages were found:",
        (false, true) => "No answer can be written at the moment, and no passage was found.",
    }
    .to_owned();
    for citation in citations {
        let _ = write!(text, "\n\n{} [{}]", citation.quote, citation.marker);
    }
    text
}

fn passage(marker: usize, hit: &Hit) -> RetrievedPassage {
    RetrievedPassage {
        marker,
        document_id: hit.document_id,
        chunk_id: hit.chunk_id,
        title: hit.title.clone(),
        start: hit.start,
        end: hit.end,
        text: hit.text.clone(),
        score: hit.score,
    }
}

fn citation(marker: usize, hit: Hit) -> Citation {
    let url = hit
        .metadata
        .get("url")
        .and_then(|url| serde_json::to_value(url).ok());
    Citation {
        marker,
        document_id: hit.document_id,
        title: hit.title,
        chunk_id: hit.chunk_id,
        start: hit.start,
        end: hit.end,
        quote: hit.text,
        verdict: Verdict::Exact,
        url: url.and_then(|url| url.as_str().map(str::to_owned)),
    }
}

fn events(answer: AskResponse) -> Vec<AskEvent> {
    let mut events = vec![
        AskEvent::Retrieval(answer.retrieval),
        AskEvent::Token(TokenEvent {
            text: answer.answer.clone(),
        }),
    ];
    events.extend(answer.citations.into_iter().map(AskEvent::Citation));
    events.push(AskEvent::Verification(answer.verification));
    events.push(AskEvent::Usage(answer.usage));
    events.push(AskEvent::Done(DoneEvent {
        answer: answer.answer,
        provider: answer.provider,
        conversation_id: answer.conversation_id,
        degraded: answer.degraded,
    }));
    events
}

/// The event's name goes into the `event` field, its content into `data`.
fn frame(event: &AskEvent) -> Option<sse::Frame> {
    let value = serde_json::to_value(event).ok()?;
    let name = value
        .get("event")
        .and_then(Value::as_str)
        .map(str::to_owned);
    Some(sse::Frame {
        event: name,
        data: value.get("data")?.to_string(),
    })
}
