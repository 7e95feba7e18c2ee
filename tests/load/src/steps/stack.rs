//! The steps of the stack, each with a check of what is answered.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{Call, Session, Step, operator, text};
use crate::client::Answer;

/// Does one step.
type Run = for<'a> fn(&'a mut Session<'_>) -> LocalBoxFuture<'a, ()>;

/// A step of one function.
struct Named {
    name: &'static str,
    endpoints: Vec<String>,
    needs_account: bool,
    needs_operator: bool,
    run: Run,
}

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Named").field(&self.name).finish()
    }
}

impl Step for Named {
    fn name(&self) -> &str {
        self.name
    }

    fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    fn needs_account(&self) -> bool {
        self.needs_account
    }

    fn needs_operator(&self) -> bool {
        self.needs_operator
    }

    fn run<'a>(&'a self, session: &'a mut Session<'_>) -> LocalBoxFuture<'a, ()> {
        (self.run)(session)
    }
}

/// All of them.
pub(super) fn steps() -> Vec<Arc<dyn Step>> {
    let named = |name: &'static str, needs_account: bool, run: Run| -> Arc<dyn Step> {
        Arc::new(Named {
            name,
            endpoints: vec![name.to_owned()],
            needs_account,
            needs_operator: false,
            run,
        })
    };
    let by_operator = |name: &'static str, kinds: &[&str], run: Run| -> Arc<dyn Step> {
        Arc::new(Named {
            name,
            endpoints: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            needs_account: false,
            needs_operator: true,
            run,
        })
    };
    vec![
        named("health", false, |session| {
            simple(session, "/api/v1/health", "/status")
        }),
        named("ready", false, |session| plain(session, "/ready")),
        named("keys", false, |session| {
            simple(session, "/.well-known/jwks.json", "/keys")
        }),
        named("specification", false, |session| {
            simple(session, "/openapi.json", "/paths")
        }),
        named("me", true, |session| {
            simple(session, "/api/v1/auth/me", "/tenant_id")
        }),
        named("documents.list", true, |session| {
            simple(session, "/api/v1/documents?limit=20", "/items")
        }),
        named("documents.get", true, document),
        named("documents.create", true, create),
        named("search", true, |session| search(session, None)),
        named("search.fresh", true, |session| {
            search(session, Some("no-cache"))
        }),
        named("ask", true, ask),
        named("ask.stream", true, ask_stream),
        named("chat.simulated", true, chat),
        named("conversations", true, |session| {
            simple(session, "/api/v1/conversations?limit=20", "/items")
        }),
        named("stats", true, |session| {
            simple(session, "/api/v1/stats", "/period")
        }),
        named("stats.any", true, any_stats),
        named("dashboard", true, |session| {
            simple(session, "/api/v1/stats?period=week", "/period")
        }),
        named("sessions", true, sessions),
        by_operator("limits.get", &["limits.get"], operator::read),
        by_operator(
            "limits.put",
            &["limits.put.read", "limits.put"],
            operator::write,
        ),
        named("models", true, |session| plain(session, "/api/v1/models")),
        named("login", true, login),
        named("quota", true, quota),
    ]
}

/// The status is enough.
#[expect(clippy::unnecessary_wraps, reason = "the form of a check")]
fn fine(_: &Answer) -> Result<(), String> {
    Ok(())
}

/// A GET whose status is enough.
fn plain<'a>(session: &'a mut Session<'_>, path: &'static str) -> LocalBoxFuture<'a, ()> {
    async move {
        session.call(0, Call::get(path), fine).await;
    }
    .boxed_local()
}

/// A GET whose answer is JSON with something at a place.
fn simple<'a>(
    session: &'a mut Session<'_>,
    path: &'static str,
    pointer: &'static str,
) -> LocalBoxFuture<'a, ()> {
    async move {
        let check = |answer: &Answer| {
            let json = parsed(answer)?;
            json.pointer(pointer)
                .map(drop)
                .ok_or_else(|| format!("`{pointer}` is missing"))
        };
        session.call(0, Call::get(path).keep(), check).await;
    }
    .boxed_local()
}

/// Statistics of a period that is drawn.
fn any_stats<'a>(session: &'a mut Session<'_>) -> LocalBoxFuture<'a, ()> {
    const PATHS: [&str; 4] = [
        "/api/v1/stats?period=hour",
        "/api/v1/stats?period=day",
        "/api/v1/stats?period=week",
        "/api/v1/stats?period=month",
    ];
    let drawn = session.random().below(PATHS.len() as u64) as usize;
    simple(session, PATHS[drawn], "/period")
}

/// Conversations, a few or many at a time.
fn sessions<'a>(session: &'a mut Session<'_>) -> LocalBoxFuture<'a, ()> {
    const PATHS: [&str; 3] = [
        "/api/v1/conversations?limit=1",
        "/api/v1/conversations?limit=20",
        "/api/v1/conversations?limit=100",
    ];
    let drawn = session.random().below(PATHS.len() as u64) as usize;
    simple(session, PATHS[drawn], "/items")
}

fn parsed(answer: &Answer) -> Result<Value, String> {
    serde_json::from_slice(&answer.body).map_err(|error| format!("no JSON: {error}"))
}

fn document<'a>(session: &'a mut Session<'_>) -> LocalBoxFuture<'a, ()> {
    async move {
        let ids = session
            .account()
            .map(|account| account.documents.clone())
            .unwrap_or_default();
        let drawn = session.random().below(ids.len() as u64) as usize;
        // Without documents the list is what can be looked at.
        let Some(id) = ids.get(drawn) else {
            session
                .call(0, Call::get("/api/v1/documents?limit=1"), fine)
                .await;
            return;
        };
        let check = |answer: &Answer| {
            let found = parsed(answer)?;
            let same = found["id"] == id.as_str() && found["status"] == "indexed";
            same.then_some(())
                .ok_or_else(|| format!("document `{id}` is not what it was: {found}"))
        };
        let call = Call::get(format!("/api/v1/documents/{id}")).keep();
        session.call(0, call, check).await;
    }
    .boxed_local()
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

fn create<'a>(session: &'a mut Session<'_>) -> LocalBoxFuture<'a, ()> {
    async move {
        let number = session.unique();
        let body = json!({
            "filename": format!("note-{number:016x}.md"),
            "content": format!("# Note {number:016x}\n\nThe tide of day {number} came late.\n"),
            "language": "en",
        });
        let key = HeaderValue::from_str(&format!("load-{number:016x}"));
        let mut call = Call::post("/api/v1/documents", &body)
            .keep()
            .expect([200, 202]);
        if let Ok(key) = key {
            call = call.header(IDEMPOTENCY_KEY, key);
        }
        let check = |answer: &Answer| {
            let accepted = parsed(answer)?;
            accepted["id"]
                .is_string()
                .then_some(())
                .ok_or_else(|| "no id".to_owned())
        };
        session.call(0, call, check).await;
    }
    .boxed_local()
}

/// A question about a text that the account has, the file that must be found and what must be said.
fn question(session: &mut Session<'_>) -> (String, String, String) {
    let held = session
        .account()
        .map_or(0, |account| account.documents.len());
    let number = session.random().below(held.max(1) as u64) as usize;
    let mut text = text(number);
    let drawn = session.random().below(text.questions.len() as u64) as usize;
    let (question, gold) = text.questions.swap_remove(drawn);
    let title = text.content.lines().next().unwrap_or_default();
    (question, title.trim_start_matches("# ").to_owned(), gold)
}

fn search<'a>(
    session: &'a mut Session<'_>,
    cached: Option<&'static str>,
) -> LocalBoxFuture<'a, ()> {
    async move {
        let has_documents = session
            .account()
            .is_some_and(|account| !account.documents.is_empty());
        let (query, title, gold) = question(session);
        let mut call = Call::post("/api/v1/search", &json!({"query": query, "limit": 5})).keep();
        if let Some(cached) = cached {
            call = call.header(
                http::header::CACHE_CONTROL,
                HeaderValue::from_static(cached),
            );
        }
        let check = |answer: &Answer| {
            let found = parsed(answer)?;
            if !has_documents {
                return found["hits"]
                    .is_array()
                    .then_some(())
                    .ok_or_else(|| "no hits".to_owned());
            }
            let first = &found["hits"][0];
            let in_text = first["text"]
                .as_str()
                .is_some_and(|text| text.contains(&gold));
            let in_title = first["title"]
                .as_str()
                .is_some_and(|own| own.contains(&title));
            (in_text || in_title)
                .then_some(())
                .ok_or_else(|| format!("`{query}` finds first: {first}"))
        };
        session.call(0, call, check).await;
    }
    .boxed_local()
}

/// What an answer to a question must be: the fact, and citations that the gate found sound.
fn grounded(answer: &Value, question: &str, gold: &str) -> Result<(), String> {
    let text = answer["answer"].as_str().unwrap_or_default();
    let citations = answer["citations"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let sound = |citation: &Value| matches!(citation["verdict"].as_str(), Some("exact" | "fuzzy"));
    let quoted = citations.iter().any(|citation| {
        citation["quote"]
            .as_str()
            .is_some_and(|quote| quote.contains(gold))
    });
    if (text.contains(gold) || quoted) && !citations.is_empty() && citations.iter().all(sound) {
        Ok(())
    } else {
        Err(format!(
            "`{question}` should be answered with `{gold}`, not: {text}"
        ))
    }
}

fn ask<'a>(session: &'a mut Session<'_>) -> LocalBoxFuture<'a, ()> {
    async move {
        let (question, _, gold) = question(session);
        let body = json!({"question": question, "provider": "extractive"});
        let call = Call::post("/api/v1/ask", &body).keep();
        let check = |answer: &Answer| grounded(&parsed(answer)?, &question, &gold);
        session.call(0, call, check).await;
    }
    .boxed_local()
}

fn ask_stream<'a>(session: &'a mut Session<'_>) -> LocalBoxFuture<'a, ()> {
    async move {
        let (question, _, gold) = question(session);
        let body = json!({"question": question, "provider": "simulated", "stream": true});
        let call = Call::post("/api/v1/ask", &body).events();
        let check = |answer: &Answer| {
            if let Some(error) = answer.events.iter().find(|event| event.name == "error") {
                return Err(format!("the stream failed: {}", error.data));
            }
            let last = answer.events.last().ok_or("no events")?;
            if last.name != "done" {
                return Err(format!("the stream ended with `{}`", last.name));
            }
            let cited = answer
                .events
                .iter()
                .any(|event| event.name == "citation" && event.data.contains(&gold));
            let said = last.data.contains(&gold);
            (cited || said).then_some(()).ok_or_else(|| {
                format!(
                    "`{question}` should be answered with `{gold}`, not: {}",
                    last.data
                )
            })
        };
        session.call(0, call, check).await;
    }
    .boxed_local()
}

fn chat<'a>(session: &'a mut Session<'_>) -> LocalBoxFuture<'a, ()> {
    async move {
        let (question, ..) = question(session);
        let body = json!({
            "model": "simulated", "stream": true,
            "messages": [{"role": "user", "content": question}],
        });
        let call = Call::post("/v1/chat/completions", &body).events();
        let check = |answer: &Answer| {
            let last = answer.events.last().ok_or("no events")?;
            (last.data == "[DONE]")
                .then_some(())
                .ok_or_else(|| format!("the stream ended with {}", last.data))
        };
        session.call(0, call, check).await;
    }
    .boxed_local()
}

fn login<'a>(session: &'a mut Session<'_>) -> LocalBoxFuture<'a, ()> {
    async move {
        let Some(account) = session.account() else {
            return;
        };
        let call = Call::post("/api/v1/auth/login", &account.login())
            .anonymous()
            .keep();
        let check = |answer: &Answer| {
            let tokens = parsed(answer)?;
            tokens["access_token"]
                .is_string()
                .then_some(())
                .ok_or_else(|| "no token".to_owned())
        };
        session.call(0, call, check).await;
    }
    .boxed_local()
}

/// A request whose headers about quotas must be right, whether it is admitted or not.
fn quota<'a>(session: &'a mut Session<'_>) -> LocalBoxFuture<'a, ()> {
    async move {
        let call = Call::get("/api/v1/documents?limit=1")
            .expect([200, 429])
            .keep();
        let call = if session.sheds {
            call.expect([200])
        } else {
            call
        };
        let check = |answer: &Answer| {
            for name in ["ratelimit-policy", "ratelimit"] {
                if !answer.headers.contains_key(name) {
                    return Err(format!("the header `{name}` is missing"));
                }
            }
            Ok(())
        };
        session.call(0, call, check).await;
    }
    .boxed_local()
}
