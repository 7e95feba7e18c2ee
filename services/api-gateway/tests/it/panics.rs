//! Defects that panic: whoever met one is told so, and nobody else notices.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use touchstone_testing::Answer;

use crate::support::{Mode, PATIENCE, Stack};

/// Services in the gateway's own process, so that what panics is below its own handlers. What is
/// asked with `fine` in its path is answered.
const SERVICES: [&str; 8] = [
    "auth",
    "document",
    "embedding",
    "generation",
    "model",
    "retrieval",
    "telegram",
    "vector",
];

fn panicking() -> Router {
    Router::new().fallback(async |request: Request| match request.uri().path() {
        path if path.contains("fine") => "fine".into_response(),
        path if path.contains("midway") => midway(),
        path if path.contains("late") => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            panic!("a late defect")
        }
        _ => panic!("SELECT secret FROM defects"),
    })
}

/// An answer whose body panics after its first frame.
fn midway() -> Response {
    let first = stream::iter([Ok::<_, std::io::Error>("data: 1\n\n")]);
    let defect = stream::once(async {
        // What is under way is sent before.
        tokio::time::sleep(Duration::from_millis(20)).await;
        panic!("a defect in the middle")
    });
    let body = first.chain(defect);
    let headers = [("content-type", "text/event-stream")];
    (headers, Body::from_stream(body)).into_response()
}

async fn stack() -> Stack {
    let services = SERVICES.map(|name| (name, panicking()));
    Stack::with(Mode::InProcess, services, |config| {
        // A place that is not given back is missed at once.
        config.upstreams.places = 1;
        config.upstreams.adaptive = 0;
        config.upstreams.queue = 0;
        config.websocket.connections = 1;
    })
    .await
}

fn is_told(answer: &Answer, what: &str) {
    assert_eq!(answer.problem(), "500 web.panic", "{what}");
    let problem: Value = answer.json();
    let id = answer.headers["x-request-id"].to_str().unwrap();
    assert_eq!(problem["request_id"], id, "{what}");
    // Nothing of what the defect said.
    assert!(!answer.text().contains("secret"), "{}", answer.text());
    assert!(!answer.text().contains(".rs"), "{}", answer.text());
}

#[tokio::test]
async fn every_path_tells_of_a_panic_in_the_same_words_and_goes_on() {
    let stack = stack().await;
    let (get, post) = (Method::GET, Method::POST);
    let embeddings = json!({ "input": ["a", "b"] });
    let question = json!({ "question": "What?", "query": "What?" });
    for (method, path, body) in [
        (&get, "/documents/x", None),
        (&post, "/documents", Some(&question)),
        (&Method::DELETE, "/documents/x", None),
        (&post, "/search", Some(&question)),
        (&get, "/search?q=x", None),
        (&post, "/ask", Some(&question)),
        (&post, "/api/v1/generate", Some(&question)),
        (&post, "/v1/chat/completions", Some(&question)),
        (&post, "/v1/embeddings", Some(&embeddings)),
        (
            &Method::PUT,
            "/api/v1/collections/c/points",
            Some(&embeddings),
        ),
        (&get, "/api/v1/models", None),
        (&get, "/channels/c", None),
        (&get, "/files/f", None),
        (&post, "/auth/login", Some(&question)),
        (&get, "/.well-known/jwks.json", None),
    ] {
        // Twice: what the first one held would be missing.
        for _ in 0..2 {
            let client = stack.client();
            let answer = match body {
                Some(body) => client.json(method.clone(), path, body).await,
                None => client.empty(method.clone(), path).await,
            };
            is_told(&answer, path);
        }
    }
    // Questions to all services are questions to those that panic.
    for path in ["/health", "/openapi.json"] {
        let answer = stack.anonymous().get(path).await;
        assert!(!answer.text().contains("secret"), "{}", answer.text());
    }
    for path in ["/documents/fine", "/channels/fine", "/auth/fine"] {
        assert_eq!(stack.client().get(path).await.text(), "fine", "{path}");
    }
    assert_eq!(stack.anonymous().get("/ready").await.status, StatusCode::OK);
    stack.stop().await;
}

#[tokio::test]
async fn all_who_wait_for_a_call_that_panics_are_told_and_the_next_call_is_a_new_one() {
    let stack = stack().await;
    let client = stack.client();
    // The second round finds nothing of the first one.
    for _ in 0..2 {
        // Each in a task of its own: whoever is not woken is not polled by the others' luck.
        let mut asking = JoinSet::new();
        for _ in 0..20 {
            let client = client.clone();
            asking.spawn(async move { client.get("/documents/late").await });
        }
        let answers = tokio::time::timeout(PATIENCE / 3, asking.join_all()).await;
        for answer in answers.expect("nobody waits for a call that has ended") {
            is_told(&answer, "one of many");
        }
    }
    assert_eq!(client.get("/documents/fine").await.text(), "fine");
    stack.stop().await;
}

/// Sends a request over a connection of its own and reads until it is closed.
async fn exchange(stack: &Stack, head: &str) -> String {
    let mut connection = TcpStream::connect(stack.listen().await).await.unwrap();
    let request = format!(
        "{head}\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        stack.token
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    let end = connection.read_to_end(&mut read);
    let _ = tokio::time::timeout(PATIENCE, end).await.unwrap();
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn a_body_that_panics_ends_its_connection_and_nothing_else() {
    let stack = stack().await;
    for _ in 0..3 {
        let head = "POST /v1/chat/midway HTTP/1.1\r\nContent-Length: 0";
        let read = exchange(&stack, head).await;
        assert!(read.contains("data: 1"), "{read}");
        // The end of a chunked body is missing: the client knows that it has not got all.
        assert!(
            !read.ends_with("0\r\n\r\n") && !read.contains("defect"),
            "{read}"
        );
        assert_eq!(
            stack
                .client()
                .post("/v1/chat/fine", &json!({}))
                .await
                .text(),
            "fine"
        );
    }
    // A connection that ended so does not take the gateway out of service.
    assert_eq!(stack.anonymous().get("/ready").await.status, StatusCode::OK);
    let metrics = stack.operator().get("/metrics").await.text();
    let none = "touchstone_gateway_open_streams 0";
    assert!(metrics.contains(none), "{metrics}");
    stack.stop().await;
}

#[tokio::test]
async fn an_upgrade_that_panics_is_refused_and_gives_its_place_back() {
    let stack = stack().await;
    for _ in 0..3 {
        let head = "GET /channels/live HTTP/1.1\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let read = exchange(&stack, head).await;
        assert!(read.starts_with("HTTP/1.1 50"), "{read}");
        assert!(read.contains("application/problem+json"), "{read}");
        assert!(!read.contains("too_many_websockets"), "{read}");
        assert!(!read.contains("secret"), "{read}");
    }
    assert_eq!(stack.anonymous().get("/ready").await.status, StatusCode::OK);
    stack.stop().await;
}
