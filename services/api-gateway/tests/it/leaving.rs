//! A thousand clients that leave, before and after the first byte of their answers: nothing of
//! their work goes on, and nothing that they held is missing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::IntoResponse;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use touchstone_api_gateway::edge;
use touchstone_lifecycle::Listener;

use crate::support::{Mode, PATIENCE, Stack, over_both_transports, tokens_left};

over_both_transports!(
    a_thousand_that_leave_before_the_first_token_leave_nothing_behind,
    a_thousand_that_leave_in_the_middle_leave_nothing_behind,
    a_thousand_that_leave_their_upload_leave_nothing_behind,
);

const CLIENTS: usize = 1000;
/// Clients at a time.
const AT_A_TIME: usize = 50;
/// Tokens of a day; every client reserves some of them.
const TOKENS: u32 = 1_000_000;

/// Work of a service: begun, and under way.
#[derive(Clone, Default)]
struct Work {
    begun: Arc<AtomicUsize>,
    under_way: Arc<AtomicUsize>,
}

/// A piece of it; not under way any more when dropped.
struct Piece(Arc<AtomicUsize>);

impl Work {
    fn begin(&self) -> Piece {
        self.begun.fetch_add(1, Ordering::AcqRel);
        self.under_way.fetch_add(1, Ordering::AcqRel);
        Piece(Arc::clone(&self.under_way))
    }

    /// Never says anything.
    fn silent(&self) -> Router {
        let work = self.clone();
        Router::new().fallback(move || {
            let piece = work.begin();
            async move {
                let _piece = piece;
                std::future::pending::<()>().await;
            }
        })
    }

    /// Says one thing, and then nothing.
    fn streaming(&self) -> Router {
        let work = self.clone();
        Router::new().fallback(move || {
            let piece = work.begin();
            let silence = stream::once(async move {
                let _piece = piece;
                std::future::pending().await
            });
            let first = stream::iter([Ok::<_, std::io::Error>("data: 1\n\n")]);
            let body = Body::from_stream(first.chain(silence));
            async move { ([("content-type", "text/event-stream")], body).into_response() }
        })
    }

    /// Reads what is uploaded.
    fn reading(&self) -> Router {
        let work = self.clone();
        Router::new().fallback(move |request: Request| {
            let piece = work.begin();
            async move {
                let _piece = piece;
                let read = axum::body::to_bytes(request.into_body(), usize::MAX).await;
                read.map_or(StatusCode::BAD_REQUEST, |_| StatusCode::OK)
            }
        })
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn serve(mode: Mode, service: &'static str, router: Router) -> (Stack, SocketAddr) {
    let stack = Stack::with(mode, [(service, router)], |config| {
        let load = config.quota.limits.plans.get_mut("load").unwrap();
        load.tokens_day = TOKENS;
    })
    .await;
    // The public port as it is, with its gauge.
    let config = touchstone_config::defaults();
    let edge = edge(&config, &stack.identity.metrics).unwrap();
    let bound = Listener::bind("gateway", ([127, 0, 0, 1], 0).into()).await;
    let listener = bound.unwrap();
    let address = listener.address();
    stack.life.serve_edge(listener, stack.router.clone(), edge);
    (stack, address)
}

/// Sends this, waits until as much of the answer has come as is wanted, and leaves.
async fn leave(address: SocketAddr, request: Arc<str>, wanted: &'static str, reset: bool) {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !wanted.is_empty() && !String::from_utf8_lossy(&read).contains(wanted) {
        let mut part = [0; 1024];
        let size = client.read(&mut part).await.unwrap();
        assert!(size > 0, "{}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&part[..size]);
    }
    if reset {
        client.set_zero_linger().unwrap();
    }
}

/// All clients, some of whom reset their connections; each leaves once its work has begun.
async fn all_leave(address: SocketAddr, request: String, wanted: &'static str, work: &Work) {
    let request: Arc<str> = request.into();
    for round in 0..CLIENTS / AT_A_TIME {
        let mut clients = JoinSet::new();
        let mut held = Vec::new();
        for number in 0..AT_A_TIME {
            let request = Arc::clone(&request);
            if wanted.is_empty() {
                let mut client = TcpStream::connect(address).await.unwrap();
                client.write_all(request.as_bytes()).await.unwrap();
                if number % 2 == 0 {
                    client.set_zero_linger().unwrap();
                }
                held.push(client);
            } else {
                clients.spawn(leave(address, request, wanted, number % 2 == 0));
            }
        }
        clients.join_all().await;
        let all = (round + 1) * AT_A_TIME;
        let begun = || work.begun.load(Ordering::Acquire);
        let waited = tokio::time::timeout(PATIENCE, async {
            while begun() < all {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "{} of {all} have begun", begun());
        drop(held);
    }
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "never: {what}");
}

/// No work, no place, no stream, no connection is left over.
async fn nothing_is_left(stack: Stack, work: &Work) {
    eventually("no work is under way", || {
        work.under_way.load(Ordering::Acquire) == 0
    })
    .await;
    let operator = stack.operator();
    let (mut seen, mut held) = (Value::Null, [true; 5]);
    let wait = async {
        loop {
            let upstreams: Value = operator.get("/admin/upstreams").await.json();
            let upstream = &upstreams["upstreams"][0];
            let metrics = operator.get("/metrics").await.text();
            held = [
                any(&upstream["bulkhead"]["in_flight"]),
                any(&upstream["bulkhead"]["queued"]),
                upstream["instances"][0]["pending"].as_u64() != Some(0),
                !metrics.contains("touchstone_gateway_open_streams 0"),
                !metrics.contains("touchstone_gateway_open_connections 0"),
            ];
            seen = upstreams;
            if !held.contains(&true) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "not given back: {held:?}, {seen}");
    // Clients that leave are no failures of the service.
    let breaker = &seen["upstreams"][0]["instances"][0]["breaker"];
    assert_eq!(
        (&breaker["state"], &breaker["failed"]),
        (&json!("closed"), &json!(0)),
        "{seen}"
    );
    stack.stop().await;
}

/// Whether any of the classes has some.
fn any(by_class: &Value) -> bool {
    let counts = by_class.as_array().unwrap();
    assert!(!counts.is_empty());
    counts.iter().any(|count| count != 0)
}

fn chat(stack: &Stack) -> String {
    let body = r#"{"max_tokens":50}"#;
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        stack.token,
        body.len()
    )
}

async fn a_thousand_that_leave_before_the_first_token_leave_nothing_behind(mode: Mode) {
    let work = Work::default();
    let (stack, address) = serve(mode, "generation", work.silent()).await;
    all_leave(address, chat(&stack), "", &work).await;
    tokens_left(&stack, TOKENS).await;
    nothing_is_left(stack, &work).await;
}

async fn a_thousand_that_leave_in_the_middle_leave_nothing_behind(mode: Mode) {
    let work = Work::default();
    let (stack, address) = serve(mode, "generation", work.streaming()).await;
    all_leave(address, chat(&stack), "data: 1", &work).await;
    // Each has had one token, and pays for it once.
    tokens_left(&stack, TOKENS - CLIENTS as u32).await;
    nothing_is_left(stack, &work).await;
}

async fn a_thousand_that_leave_their_upload_leave_nothing_behind(mode: Mode) {
    let work = Work::default();
    let (stack, address) = serve(mode, "document", work.reading()).await;
    let request = format!(
        "POST /documents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Length: 1000000\r\n\r\nhalf",
        stack.token
    );
    all_leave(address, request, "", &work).await;
    nothing_is_left(stack, &work).await;
}
