use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::IntoResponse;
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use touchstone_error::ErrorKind;
use touchstone_web::Problem;

use crate::support::{Mode, Stack, over_both_transports};

over_both_transports!(
    a_request_reaches_its_service_as_it_was_sent,
    an_answer_comes_back_as_it_is,
    only_the_connection_tells_the_clients_address,
    a_service_that_is_away_is_told_by_name,
);

/// Tells what it was sent.
async fn echo(request: Request) -> impl IntoResponse {
    let (parts, body) = request.into_parts();
    let headers: serde_json::Map<String, Value> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
        .collect();
    let body = body.collect().await.unwrap().to_bytes();
    let told = json!({
        "method": parts.method.as_str(),
        "uri": parts.uri.path_and_query().unwrap().as_str(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    (
        [
            ("x-custom", "kept"),
            ("keep-alive", "timeout=5"),
            ("server", "fake"),
        ],
        told.to_string(),
    )
}

fn echoing() -> Router {
    Router::new().fallback(echo)
}

async fn a_request_reaches_its_service_as_it_was_sent(mode: Mode) {
    let stack = Stack::start(mode, [("document", echoing())]).await;
    let request = Request::builder()
        .method("PUT")
        .uri("/api/v1/documents/%D0%B8%2F?a=1&b=%20x&a=2")
        .header("x-request-id", "mine")
        .header("idempotency-key", "k1")
        .header("content-type", "text/x-odd")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .body(Body::from("тело \0 bytes"))
        .unwrap();
    let answer = stack.client().send(request).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        (&answer.headers["x-request-id"], &answer.headers["x-custom"]),
        (&"mine".parse().unwrap(), &"kept".parse().unwrap())
    );
    assert!(answer.headers.get("keep-alive").is_none() && answer.headers.get("server").is_none());
    let told: Value = answer.json();
    assert_eq!(
        (&told["method"], &told["uri"]),
        (&json!("PUT"), &json!("/documents/%D0%B8%2F?a=1&b=%20x&a=2"))
    );
    assert_eq!(told["body"], "тело \0 bytes");
    let headers = &told["headers"];
    assert_eq!(
        (&headers["x-request-id"], &headers["idempotency-key"]),
        (&json!("mine"), &json!("k1"))
    );
    assert_eq!(
        (&headers["content-type"], headers.get("x-hop")),
        (&json!("text/x-odd"), None)
    );
    assert_eq!(headers["authorization"], format!("Bearer {}", stack.token));
    assert!(headers["traceparent"].as_str().unwrap().starts_with("00-"));
    let left: u64 = headers["x-deadline-ms"].as_str().unwrap().parse().unwrap();
    assert!((1..=60_000).contains(&left), "{left}");
    stack.stop().await;
}

async fn an_answer_comes_back_as_it_is(mode: Mode) {
    let refusing = Router::new().fallback(async || {
        let mut response =
            Problem::new(ErrorKind::Conflict, "document.exists", "it is there").render("up", None);
        response
            .headers_mut()
            .insert("retry-after", "7".parse().unwrap());
        response
    });
    let stack = Stack::start(mode, [("document", refusing)]).await;
    let answer = stack.client().post("/documents", &json!({})).await;
    assert_eq!(answer.problem(), "409 document.exists");
    assert_eq!(answer.headers["retry-after"], "7");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert!(
        answer.headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("'none'")
    );
    stack.stop().await;
}

async fn only_the_connection_tells_the_clients_address(mode: Mode) {
    let stack = Stack::start(mode, [("auth", echoing())]).await;
    let mut connection = tokio::net::TcpStream::connect(stack.listen().await)
        .await
        .unwrap();
    let request = "POST /auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                   X-Forwarded-For: 6.6.6.6\r\nX-Client-Address: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\
                   Forwarded: for=6.6.6.6\r\nContent-Length: 0\r\n\r\n";
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.contains("\"x-client-address\":\"127.0.0.1\""),
        "{answer}"
    );
    assert!(!answer.contains("6.6.6.6"), "{answer}");
    stack.stop().await;
}

async fn a_service_that_is_away_is_told_by_name(mode: Mode) {
    let stack = Stack::start(mode, [("document", echoing())]).await;
    if mode == Mode::Http {
        // A port that nobody listens on any more.
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", socket.local_addr().unwrap());
        drop(socket);
        stack
            .identity
            .mesh
            .connect("telegram", base.parse().unwrap());
    }
    let answer = stack.client().get("/channels/list").await;
    assert_eq!(answer.problem(), "503 gateway.service_unavailable");
    assert!(answer.text().contains("telegram") && answer.headers.contains_key("retry-after"));
    let instance = answer.json::<Value>()["instance"].clone();
    assert_eq!(instance, "/channels/list");
    stack.stop().await;
}
