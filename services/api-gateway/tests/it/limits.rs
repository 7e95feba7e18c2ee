use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytesize::ByteSize;
use futures_util::stream;
use http::{Method, StatusCode};
use http_body_util::BodyExt;

use crate::support::{Mode, Stack, over_both_transports};

over_both_transports!(
    bodies_are_capped_whether_announced_or_not,
    a_hanging_service_meets_the_deadline_and_is_let_go,
);

async fn read_all(request: Request) -> Result<String, StatusCode> {
    let body = request
        .into_body()
        .collect()
        .await
        .map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(body.to_bytes().len().to_string())
}

async fn bodies_are_capped_whether_announced_or_not(mode: Mode) {
    let reading = Router::new().fallback(read_all);
    let stack = Stack::with(mode, [("document", reading)], |config| {
        config.classes.upload.body = ByteSize::b(1000);
    })
    .await;
    let send = async |size: usize, announced: bool| {
        let body = if announced {
            Body::from(vec![b'x'; size])
        } else {
            let parts = vec![b'x'; size]
                .chunks(100)
                .map(|part| Ok::<_, std::io::Error>(part.to_vec()))
                .collect::<Vec<_>>();
            Body::from_stream(stream::iter(parts))
        };
        let mut request = Request::post("/documents");
        if announced {
            request = request.header("content-length", size);
        }
        stack.client().send(request.body(body).unwrap()).await
    };
    for announced in [true, false] {
        assert_eq!(send(1000, announced).await.text(), "1000", "{announced}");
        let refused = send(1001, announced).await;
        assert_eq!(refused.problem(), "413 request.too_large", "{announced}");
        assert!(refused.text().contains("1000 bytes"));
    }
    stack.stop().await;
}

async fn a_hanging_service_meets_the_deadline_and_is_let_go(mode: Mode) {
    let (alive, mut gone) = tokio::sync::mpsc::channel::<()>(1);
    let hanging = Router::new().fallback(async move || {
        let _alive = alive;
        std::future::pending::<()>().await;
    });
    let stack = Stack::with(mode, [("retrieval", hanging)], |config| {
        config.classes.search.deadline = Duration::from_millis(200);
    })
    .await;
    stack.identity.mesh.transport("retrieval").unwrap();
    let answer = stack.client().post("/search", &serde_json::json!({})).await;
    assert_eq!(answer.problem(), "504 request.deadline");
    // The caller may ask for less, never for more.
    for asked in ["20", "999999"] {
        let request = Request::post("/search")
            .header("x-deadline-ms", asked)
            .body(Body::empty())
            .unwrap();
        assert_eq!(
            stack.client().send(request).await.problem(),
            "504 request.deadline"
        );
    }
    let Stack {
        identity,
        life,
        router,
        ..
    } = stack;
    drop(router);
    identity.mesh.clear();
    life.shutdown(crate::support::PATIENCE).await;
    assert!(gone.recv().await.is_none(), "a handler is still at work");
}

#[tokio::test]
async fn headers_are_capped() {
    let stack = Stack::start(Mode::InProcess, [("document", Router::new())]).await;
    let long = Request::get("/documents").header("x-long", "x".repeat(40_000));
    let many = (0..120).fold(Request::get("/documents"), |request, number| {
        request.header(format!("x-{number}"), "x")
    });
    for request in [long, many] {
        let answer = stack
            .client()
            .send(request.body(Body::empty()).unwrap())
            .await;
        assert_eq!(answer.problem(), "431 request.headers_too_large");
    }
    stack.stop().await;
}

#[tokio::test]
async fn what_is_not_served_is_refused_before_anybody_is_asked() {
    let stack = Stack::start(Mode::InProcess, []).await;
    let refused =
        async |method: Method, path: &str| stack.client().empty(method, path).await.problem();
    assert_eq!(
        refused(Method::GET, "/nowhere").await,
        "404 request.unknown_path"
    );
    assert_eq!(
        refused(Method::GET, "/api/v1/metrics").await,
        "404 request.unknown_path"
    );
    assert_eq!(
        refused(Method::GET, "/collections").await,
        "404 request.unknown_path"
    );
    let token = refused(Method::GET, "/documents?limit=1&access_token=x").await;
    assert_eq!(token, "400 gateway.credential_in_query");
    stack.stop().await;
}

#[tokio::test]
async fn only_listed_origins_may_read() {
    let stack = Stack::with(
        Mode::InProcess,
        [("document", Router::new().fallback(async || "reached"))],
        |config| config.cors.origins = vec!["https://app.example".to_owned()],
    )
    .await;
    let ask = async |method: Method, origin: &str| {
        let request = Request::builder()
            .method(method)
            .uri("/documents")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            )
            .body(Body::empty())
            .unwrap();
        stack.anonymous().send(request).await
    };
    let listed = "https://app.example";
    let preflight = ask(Method::OPTIONS, listed).await;
    assert_eq!(preflight.status, StatusCode::OK);
    assert_eq!(preflight.headers["access-control-allow-origin"], listed);
    let allowed = preflight.headers["access-control-allow-headers"]
        .to_str()
        .unwrap();
    assert!(allowed.contains("authorization"), "{allowed}");
    // A page can read why it was refused.
    let refused = ask(Method::GET, listed).await;
    assert_eq!(refused.problem(), "401 auth.missing_credential");
    assert_eq!(refused.headers["access-control-allow-origin"], listed);
    for other in [
        "https://evil.example",
        "null",
        "https://app.example.evil.com",
        "http://app.example",
    ] {
        for method in [Method::OPTIONS, Method::GET] {
            let answer = ask(method, other).await;
            assert!(
                !answer.headers.contains_key("access-control-allow-origin"),
                "{other}"
            );
            assert!(
                !answer
                    .headers
                    .contains_key("access-control-allow-credentials"),
                "{other}"
            );
        }
    }
    stack.stop().await;
}
