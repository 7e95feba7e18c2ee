//! The simulated server: OpenAI's API in front, slots with a queue behind, vLLM's metrics beside.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashSet, VecDeque};
use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{Stream, StreamExt, stream};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;
use touchstone_simulated_model::{Slot, Slots};

use super::profile::{Fault, Model, Script};

/// Tokens of an answer whose length nobody limits.
pub(super) const MOST: u64 = 4096;
/// Beginnings of prompts that the cache holds.
const CACHED: usize = 4096;
/// Letters of a prompt that make its beginning.
const PREFIX: usize = 256;

/// A running model.
#[derive(Clone, Debug)]
pub struct Simulator(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    model: Model,
    slots: Slots,
    cache: Mutex<(HashSet<u64>, VecDeque<u64>)>,
    requests: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    prompt_tokens: AtomicU64,
    tokens: AtomicU64,
}

impl Simulator {
    /// A model that nobody has asked yet.
    pub fn new(model: Model) -> Self {
        Self(Arc::new(Inner {
            slots: Slots::new(model.slots, model.queue, Arc::new(())),
            model,
            cache: Mutex::default(),
            requests: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            prompt_tokens: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
        }))
    }

    /// Its API.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/v1/chat/completions", post(chat))
            .route("/v1/models", get(models))
            .route("/metrics", get(metrics))
            .route("/health", get(|| async { "ok" }))
            .route("/ready", get(|| async { "ok" }))
            .with_state(self.clone())
    }

    /// Tokens of a prompt, and how many of them are in the cache by now.
    fn read(&self, prompt: &str) -> (usize, usize) {
        let tokens = prompt.len().div_ceil(4);
        let prefix: String = prompt.chars().take(PREFIX).collect();
        let key = hash(&prefix);
        let mut cache = self.0.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, order) = &mut *cache;
        if known.contains(&key) && prompt.len() > PREFIX {
            return (tokens, prefix.len().div_ceil(4).min(tokens));
        }
        if known.insert(key) {
            order.push_back(key);
        }
        if order.len() > CACHED
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
        (tokens, 0)
    }
}

/// What an answer is drawn by.
pub(super) fn key(prompt: &str, seed: u64) -> u64 {
    hash(prompt) ^ seed
}

fn hash(text: &str) -> u64 {
    // The hasher of the standard library with fixed keys: the same for every run.
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

async fn chat(State(simulator): State<Simulator>, body: Bytes) -> Response {
    let inner = &simulator.0;
    inner.requests.fetch_add(1, Ordering::Relaxed);
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return refused(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "the body is no JSON",
        );
    };
    let messages = request["messages"].as_array();
    let contents = messages
        .into_iter()
        .flatten()
        .filter_map(|message| message["content"].as_str());
    let prompt: Vec<&str> = contents.collect();
    if prompt.is_empty() {
        return refused(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "`messages` has no content",
        );
    }
    let prompt = prompt.join("\n");
    let most = request["max_tokens"].as_u64().unwrap_or(MOST) as usize;
    let (tokens, cached) = simulator.read(&prompt);
    // The same prompt has the same answer; a number of its own (`seed`) makes it another one.
    let key = key(&prompt, request["seed"].as_u64().unwrap_or_default());
    let script = inner.model.script(key, tokens, cached, most);
    inner
        .prompt_tokens
        .fetch_add(tokens as u64, Ordering::Relaxed);
    match script.fault {
        Some(Fault::RateLimited) => {
            inner.refused.fetch_add(1, Ordering::Relaxed);
            return busy_answer("as configured");
        }
        Some(Fault::ServerError) => {
            inner.failed.fetch_add(1, Ordering::Relaxed);
            return refused(
                StatusCode::INTERNAL_SERVER_ERROR,
                "server_error",
                "as configured",
            );
        }
        _ => {}
    }
    let slot = match inner.slots.queue() {
        Some(turn) => turn.await,
        None => None,
    };
    let Some(slot) = slot else {
        inner.refused.fetch_add(1, Ordering::Relaxed);
        return busy_answer("the queue is full");
    };
    let usage = json!({
        "prompt_tokens": tokens, "completion_tokens": script.tokens(),
        "total_tokens": tokens + script.tokens(), "prompt_tokens_details": {"cached_tokens": cached},
    });
    let words = words(&prompt, &script);
    let pieces = pieces(simulator.clone(), slot, script, words);
    if request["stream"] == true {
        let last = json!({"object": "chat.completion.chunk", "choices": [], "usage": usage});
        let end = [format!("data: {last}\n\n"), "data: [DONE]\n\n".to_owned()];
        let body = Body::from_stream(streamed(pieces, end));
        return ([(CONTENT_TYPE, "text/event-stream")], body).into_response();
    }
    let pieces: Vec<Piece> = pieces.collect().await;
    if pieces.iter().any(|piece| matches!(piece, Piece::Cut)) {
        return refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "broke off",
        );
    }
    let text: String = pieces.iter().map(Piece::text).collect();
    let answer = json!({
        "id": format!("sim-{key:016x}"), "object": "chat.completion", "model": inner.model.profile.name,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": usage,
    });
    ([(CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}

/// A piece of an answer.
enum Piece {
    Word(String),
    Malformed,
    Cut,
}

impl Piece {
    fn text(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::Malformed | Self::Cut => "",
        }
    }
}

/// The words of an answer, a token each: those of the prompt over and over.
fn words(prompt: &str, script: &Script) -> Vec<String> {
    let own: Vec<&str> = prompt.split_whitespace().take(60).collect();
    let word = |at: usize| own.get(at % own.len().max(1)).copied().unwrap_or("…");
    let mut words: Vec<String> = (0..script.tokens())
        .map(|at| format!("{} ", word(at)))
        .collect();
    if script.fault == Some(Fault::Fabricated)
        && let Some(last) = words.last_mut()
    {
        last.push_str("[97]");
    }
    words
}

/// Delivers the answer; the slot is free when the stream has ended or is dropped.
fn pieces(
    simulator: Simulator,
    slot: Slot,
    script: Script,
    words: Vec<String>,
) -> impl Stream<Item = Piece> + Send {
    struct Delivery {
        simulator: Simulator,
        _slot: Slot,
        script: Script,
        words: std::vec::IntoIter<String>,
        sent: usize,
        due: Instant,
    }
    let first = Delivery {
        simulator,
        _slot: slot,
        script,
        words: words.into_iter(),
        sent: 0,
        due: Instant::now(),
    };
    stream::unfold(Some(first), |delivery| async move {
        let mut own = delivery?;
        let inner = Arc::clone(&own.simulator.0);
        let Some(word) = own.words.next() else {
            inner.answered.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let delay = if own.sent == 0 {
            own.script.first
        } else {
            own.script.gaps[own.sent - 1]
        };
        // From moment to moment, not pause after pause: what timers add does not add up.
        own.due += inner.model.under_load(delay, inner.slots.busy());
        tokio::time::sleep_until(own.due).await;
        let at = own.sent;
        own.sent += 1;
        inner.tokens.fetch_add(1, Ordering::Relaxed);
        match own.script.fault {
            Some(Fault::Cut(place)) if place == at => {
                inner.failed.fetch_add(1, Ordering::Relaxed);
                Some((Piece::Cut, None))
            }
            Some(Fault::Malformed(place)) if place == at => Some((Piece::Malformed, Some(own))),
            _ => Some((Piece::Word(word), Some(own))),
        }
    })
}

/// As events; a cut ends the connection.
fn streamed(
    pieces: impl Stream<Item = Piece> + Send,
    end: [String; 2],
) -> impl Stream<Item = Result<String, std::io::Error>> + Send {
    let events = pieces.map(|piece| match piece {
        Piece::Word(word) => {
            let chunk = json!({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": word}}]});
            Ok(format!("data: {chunk}\n\n"))
        }
        Piece::Malformed => Ok("data: {\"choices\": [{\"del\n\n".to_owned()),
        Piece::Cut => Err(std::io::ErrorKind::ConnectionReset.into()),
    });
    events.chain(stream::iter(end.map(Ok)))
}

fn busy_answer(why: &str) -> Response {
    let mut response = refused(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", why);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn refused(status: StatusCode, kind: &str, why: &str) -> Response {
    let body = json!({"error": {"type": kind, "message": why, "code": status.as_u16()}});
    (
        status,
        [(CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

async fn models(State(simulator): State<Simulator>) -> Response {
    let model =
        json!({"id": simulator.0.model.profile.name, "object": "model", "owned_by": "touchstone"});
    let list = json!({"object": "list", "data": [model]});
    ([(CONTENT_TYPE, "application/json")], list.to_string()).into_response()
}

/// With vLLM's names.
async fn metrics(State(simulator): State<Simulator>) -> String {
    let inner = &simulator.0;
    let mut text = String::new();
    let mut metric = |kind: &str, name: &str, value: u64| {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "# TYPE vllm:{name} {kind}\nvllm:{name}{{model_name=\"{}\"}} {value}",
            inner.model.profile.name
        );
    };
    metric("gauge", "num_requests_running", inner.slots.busy() as u64);
    metric(
        "gauge",
        "num_requests_waiting",
        inner.slots.waiting() as u64,
    );
    let counters = [
        ("request_total", &inner.requests),
        ("request_success_total", &inner.answered),
        ("request_refused_total", &inner.refused),
        ("request_failed_total", &inner.failed),
        ("prompt_tokens_total", &inner.prompt_tokens),
        ("generation_tokens_total", &inner.tokens),
    ];
    for (name, counter) in counters {
        metric("counter", name, counter.load(Ordering::Relaxed));
    }
    text
}
