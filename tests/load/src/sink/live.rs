//! The live page: users, rate, latency, and a button that stops the run.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::html::page;
use crate::engine::Progress;

/// Seconds that the page shows.
const SHOWN: usize = 180;
/// Header of requests that the page itself makes: pages from elsewhere cannot send it unasked.
const OWN: HeaderName = HeaderName::from_static("x-touchstone-load");

/// What the page shows.
#[derive(Clone, Debug)]
pub struct Live {
    state: Arc<Mutex<Shown>>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Shown {
    scenario: String,
    target: String,
    phases: Vec<String>,
    phase: usize,
    elapsed: u64,
    requests: u64,
    errors: u64,
    dropped: u64,
    seconds: VecDeque<Value>,
}

impl Live {
    /// Of a run; the button cancels `stop`.
    pub fn new(scenario: &str, target: &str, phases: Vec<String>, stop: CancellationToken) -> Self {
        let shown = Shown {
            scenario: scenario.to_owned(),
            target: target.to_owned(),
            phases,
            ..Shown::default()
        };
        Self {
            state: Arc::new(Mutex::new(shown)),
            stop,
        }
    }

    /// Takes up a second.
    pub fn update(&self, progress: &Progress<'_>) {
        let second = progress.second;
        let total = second.total.dense();
        let ms = |q: f64| total.quantile(q).as_secs_f64() * 1e3;
        let mut shown = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        shown.phase = progress.phase;
        shown.elapsed = progress.elapsed.as_secs();
        shown.requests += second.requests();
        shown.errors += second.errors.total();
        shown.dropped += second.dropped;
        shown.seconds.push_back(json!({
            "at": second.at, "good": second.good, "errors": second.errors.total() + second.shed,
            "active": second.active, "p50": ms(0.5), "p95": ms(0.95), "p99": ms(0.99),
        }));
        if shown.seconds.len() > SHOWN {
            shown.seconds.pop_front();
        }
    }

    /// Serves the page until `over` is cancelled.
    pub async fn serve(
        &self,
        listener: TcpListener,
        over: CancellationToken,
    ) -> std::io::Result<()> {
        let router = Router::new()
            .route("/", get(shown_page))
            .route("/state.json", get(state))
            .route("/stop", post(stop))
            .with_state(self.clone());
        axum::serve(listener, router)
            .with_graceful_shutdown(over.cancelled_owned())
            .await
    }

    /// Binds where the page is to be.
    pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
        TcpListener::bind(address).await
    }
}

async fn shown_page() -> Html<String> {
    Html(page("touchstone load", include_str!("live.html")))
}

async fn state(State(live): State<Live>) -> Response {
    let shown = live.state.lock().unwrap_or_else(PoisonError::into_inner);
    let state = json!({
        "scenario": shown.scenario, "target": shown.target,
        "phase": shown.phases.get(shown.phase), "elapsed": shown.elapsed,
        "requests": shown.requests, "errors": shown.errors, "dropped": shown.dropped,
        "stopping": live.stop.is_cancelled(), "seconds": shown.seconds,
    });
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, state.to_string()).into_response()
}

async fn stop(State(live): State<Live>, headers: HeaderMap) -> StatusCode {
    if !headers.contains_key(OWN) {
        return StatusCode::FORBIDDEN;
    }
    live.stop.cancel();
    StatusCode::ACCEPTED
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn only_the_page_itself_can_stop_a_run() {
        let stop = CancellationToken::new();
        let live = Live::new("own", "http://t", vec!["a".into()], stop.clone());
        let listener = Live::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let over = CancellationToken::new();
        let asked = async {
            let page = ask(
                address,
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            )
            .await;
            assert!(page.contains("<button"));
            let state = ask(
                address,
                "GET /state.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            )
            .await;
            assert!(state.contains("\"phase\":\"a\""), "{state}");
            let post =
                "POST /stop HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n";
            let refused = ask(address, &format!("{post}\r\n")).await;
            assert!(refused.starts_with("HTTP/1.1 403") && !stop.is_cancelled());
            let done = ask(address, &format!("{post}X-Touchstone-Load: 1\r\n\r\n")).await;
            assert!(done.starts_with("HTTP/1.1 202") && stop.is_cancelled());
            over.cancel();
        };
        let (served, ()) = tokio::join!(live.serve(listener, over.clone()), asked);
        served.unwrap();
    }
}
