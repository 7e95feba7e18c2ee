//! Credentials never reach a log, a metric or the ledger, however requests with them end.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::IntoResponse;
use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use touchstone_error::ErrorKind;
use touchstone_testing::{Log, TestClient};
use touchstone_web::Problem;

use crate::support::{Mode, PATIENCE, Stack};

/// What must not be found: in headers, queries, cookies, protocols, bodies and paths.
const CANARIES: [&str; 5] = [
    "tsk_canary-key",
    "canary-password",
    "canary-cookie",
    "canary-query",
    "canary.protocol",
];

/// A service that refuses, fails, panics and answers, as the path says.
fn service() -> Router {
    Router::new().fallback(async |request: Request| {
        let problem = |kind, code| Problem::new(kind, code, "as the path says").into_response();
        match request.uri().path() {
            path if path.contains("fails") => problem(ErrorKind::Internal, "test.broken"),
            path if path.contains("busy") => problem(ErrorKind::Unavailable, "test.busy"),
            path if path.contains("panics") => panic!("a defect"),
            path if path.contains("refuses") => problem(ErrorKind::Conflict, "test.conflict"),
            _ => "answered".into_response(),
        }
    })
}

/// Requests with credentials in every place, that end in every way; returns all answers.
async fn provoke(stack: &Stack) -> String {
    let mut answers = String::new();
    let nobody = TestClient::new(stack.router.clone(), "tsk_canary-key");
    for client in [&stack.client(), &nobody] {
        for path in ["x", "fails", "busy", "panics", "refuses"] {
            for service in ["documents", "channels", "api/v1/conversations"] {
                let path = format!("/{service}/{path}");
                answers += &client.get(&path).await.text();
                let body = json!({ "password": "canary-password" });
                answers += &client.post(&path, &body).await.text();
            }
        }
    }
    let login = json!({ "email": "a@example.com", "password": "canary-password" });
    for path in ["login", "fails", "busy", "panics"] {
        let path = format!("/auth/login?{path}");
        answers += &stack.anonymous().post(&path, &login).await.text();
    }
    for query in [
        "token=canary-query",
        "a=1&access_token=canary-query",
        "api_key=canary-query",
    ] {
        let path = format!("/documents?{query}");
        answers += &stack.client().get(&path).await.text();
    }
    for (name, value) in [
        ("cookie", "session=canary-cookie"),
        ("x-api-key", "tsk_canary-key"),
        ("authorization", "Basic canary-password"),
    ] {
        let request = Request::builder()
            .method(Method::GET)
            .uri("/documents/fails")
            .header(name, value)
            .body(Body::empty());
        answers += &stack.anonymous().send(request.unwrap()).await.text();
    }
    answers
}

/// A WebSocket with its credential among the protocols, and a head that is no HTTP.
async fn provoke_over_tcp(stack: &Stack) {
    let address = stack.listen().await;
    for head in [
        "GET /channels/live HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: touchstone, bearer.canary.protocol\r\nConnection: close\r\n\r\n",
        "GET /documents HTTP/1.1\r\nAuthorization: Bearer tsk_canary-key\r\nbroken \0 head\r\n\r\n",
    ] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.shutdown().await.unwrap();
        let mut read = Vec::new();
        let end = connection.read_to_end(&mut read);
        let _ = tokio::time::timeout(PATIENCE, end).await.unwrap();
    }
}

#[tokio::test]
async fn credentials_reach_no_log_no_metric_and_no_ledger() {
    let log = Log::listen();

    for mode in [Mode::InProcess, Mode::Http] {
        let names = ["auth", "document", "generation", "telegram"];
        let stack = Stack::with(mode, names.map(|name| (name, service())), |config| {
            // Some are denied, and some find the breaker open.
            "standard".clone_into(&mut config.quota.limits.plan);
            let plan = config.quota.limits.plans.get_mut("standard").unwrap();
            (plan.minute, plan.hour, plan.day) = (0, 0, 25);
        })
        .await;
        let answers = provoke(&stack).await;
        provoke_over_tcp(&stack).await;
        let operator = stack.operator();
        let kept = [
            ("answer", answers),
            ("metric", operator.get("/metrics").await.text()),
            (
                "ledger",
                operator.get("/admin/decisions?limit=10000").await.text(),
            ),
            ("log", log.text()),
        ];
        let signature = stack.token.rsplit('.').next().unwrap();
        for (place, text) in &kept {
            assert!(!text.is_empty(), "no {place}");
            for canary in CANARIES.into_iter().chain([signature]) {
                let found = text.lines().find(|line| line.contains(canary));
                assert!(found.is_none(), "{canary} in the {place}: {found:?}");
            }
        }
        // Requests were written down at all, by the pattern of their path, refusals too.
        let log = &kept[3].1;
        for expected in [
            "answered 200",
            "answered 401",
            "answered 429",
            "answered 500",
        ] {
            assert!(log.contains(expected), "{expected} is in no line");
        }
        stack.stop().await;
    }
}
