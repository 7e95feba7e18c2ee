//! Clients of every kind of request, and what they are told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::system::Session;

/// A client of these gives up then; no service may take as long to say what is wrong.
const ANSWER: Duration = Duration::from_secs(65);
/// Clients of each kind of request: some hang at what is frozen while others go on.
const CLIENTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(50);
/// What is asked for.
pub const KINDS: [&str; 5] = ["list", "search", "ask", "me", "upload"];

/// What became of requests.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub good: u64,
    /// Good, and told to be less than usual.
    pub degraded: u64,
    /// Errors with a code.
    pub typed: BTreeMap<String, u64>,
    /// Errors without one.
    pub untyped: BTreeMap<String, u64>,
    /// No answer at all: the gateway itself was away.
    pub nothing: u64,
    /// The longest time until an error was told.
    pub slowest_error: Duration,
    /// When looking began, see [`Clients::look`].
    looked: Option<Instant>,
    /// When the first request of each kind was answered that began since then, with all of what was
    /// asked for.
    first_good: BTreeMap<&'static str, Instant>,
    /// Documents that were accepted, and their text.
    pub accepted: Vec<(String, String)>,
}

/// Clients at work, and what they saw so far.
pub struct Clients {
    seen: Shared,
    over: Arc<AtomicBool>,
    load: JoinSet<()>,
}

type Shared = Arc<Mutex<Seen>>;

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, Seen> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clients {
    /// Several of each kind.
    pub fn start(user: &Session) -> Self {
        let (seen, over) = (Shared::default(), Arc::new(AtomicBool::new(false)));
        let mut load = JoinSet::new();
        for number in 0..CLIENTS * KINDS.len() {
            let kind = KINDS[number % KINDS.len()];
            let (seen, over) = (Arc::clone(&seen), Arc::clone(&over));
            load.spawn(client(user.clone(), kind, number, seen, over));
        }
        Self { seen, over, load }
    }

    /// What they saw so far.
    pub fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// From now on, first answers count anew.
    pub fn look(&self) -> Instant {
        let mut seen = lock(&self.seen);
        seen.first_good.clear();
        *seen.looked.insert(Instant::now())
    }

    /// How long after the last [`Clients::look`] a request of this kind was answered in full that had
    /// begun after it.
    pub fn well_after(&self, kind: &str) -> Option<Duration> {
        let seen = lock(&self.seen);
        let answered = seen.first_good.get(kind)?;
        Some(answered.duration_since(seen.looked?))
    }

    /// Ends them; what they saw.
    pub async fn end(mut self) -> Seen {
        self.over.store(true, Ordering::Relaxed);
        while self.load.join_next().await.is_some() {}
        self.seen()
    }
}

/// Asks for ever, until it is over; every answer is looked at.
async fn client(
    user: Session,
    kind: &'static str,
    number: usize,
    shared: Shared,
    over: Arc<AtomicBool>,
) {
    let mut turn = 0;
    while !over.load(Ordering::Relaxed) {
        turn += 1;
        let text = format!("Client {number} puts item {turn} on the shelf of the failing.");
        let request = match kind {
            "list" => user.request(Method::GET, "/documents?limit=5"),
            "search" => {
                let query = json!({"query": "shelf", "limit": 3});
                user.request(Method::POST, "/search").json(&query)
            }
            "ask" => {
                let question = json!({"question": format!("Where is item {turn}?")});
                user.request(Method::POST, "/ask").json(&question)
            }
            "me" => user.request(Method::GET, "/auth/me"),
            _ => {
                let body = json!({"filename": format!("{number}-{turn}.txt"), "content": text});
                user.request(Method::POST, "/documents").json(&body)
            }
        };
        ask(request, kind, text, &shared).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(request: RequestBuilder, kind: &'static str, text: String, shared: &Shared) {
    let request = request.header("cache-control", "no-cache");
    let began = Instant::now();
    let answer = request.timeout(ANSWER).send().await;
    let Ok(answer) = answer else {
        let mut seen = lock(shared);
        seen.nothing += 1;
        seen.slowest_error = seen.slowest_error.max(began.elapsed());
        return;
    };
    let (status, is_degraded) = (answer.status(), answer.headers().contains_key("degraded"));
    let body = answer.json::<Value>().await.unwrap_or_default();
    let mut seen = lock(shared);
    if status.is_success() {
        seen.good += 1;
        seen.degraded += u64::from(is_degraded);
        if !is_degraded && seen.looked.is_some_and(|looked| began >= looked) {
            seen.first_good.entry(kind).or_insert_with(Instant::now);
        }
        if let (true, Some(id)) = (kind == "upload", body["id"].as_str()) {
            seen.accepted.push((id.to_owned(), text));
        }
        return;
    }
    seen.slowest_error = seen.slowest_error.max(began.elapsed());
    let told = match body["code"].as_str() {
        Some(code) if body["status"] == status.as_u16() => {
            (&mut seen.typed, format!("{} {code}", status.as_u16()))
        }
        _ => (&mut seen.untyped, status.as_u16().to_string()),
    };
    *told.0.entry(told.1).or_default() += 1;
}
