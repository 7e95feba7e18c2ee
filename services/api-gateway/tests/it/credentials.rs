use std::time::Duration;

use axum::Router;
use http::{Method, StatusCode};
use serde_json::json;
use touchstone_testing::TestClient;
use touchstone_web::Caller;

use crate::support::{Mode, Stack, over_both_transports};

over_both_transports!(
    nobody_passes_without_a_credential_that_holds,
    public_paths_need_none,
    the_service_judges_the_same_credential_again,
);

fn open() -> Router {
    Router::new().fallback(async || "reached")
}

async fn nobody_passes_without_a_credential_that_holds(mode: Mode) {
    let stack = Stack::start(mode, [("document", open()), ("auth", open())]).await;
    let document = "/api/v1/documents/x";
    assert_eq!(stack.client().get(document).await.status, StatusCode::OK);
    let missing = stack.anonymous().get(document).await;
    assert_eq!(missing.problem(), "401 auth.missing_credential");
    assert_eq!(missing.headers["www-authenticate"], "Bearer");

    let mut forged = stack.token.clone();
    forged.replace_range(forged.len() - 4.., "AAAA");
    let service = stack
        .identity
        .bearer(&stack.identity.service(stack.caller.tenant));
    for token in [
        forged.as_str(),
        "x",
        "eyJhbGciOiJub25lIn0.e30.",
        service.as_str(),
    ] {
        let client = TestClient::new(stack.router.clone(), token);
        assert_eq!(
            client.get(document).await.problem(),
            "401 auth.invalid_credential",
            "{token}"
        );
        assert_eq!(
            client.get("/auth/me").await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    stack.identity.clock.advance(Duration::from_hours(2));
    assert_eq!(
        stack.client().get(document).await.problem(),
        "401 auth.invalid_credential"
    );
    stack.stop().await;
}

async fn public_paths_need_none(mode: Mode) {
    let stack = Stack::start(mode, [("auth", open())]).await;
    for path in ["/auth/login", "/api/v1/auth/register", "/auth/refresh"] {
        assert_eq!(
            stack.anonymous().post(path, &json!({})).await.text(),
            "reached",
            "{path}"
        );
    }
    for path in ["/.well-known/jwks.json", "/api/v1/.well-known/jwks.json"] {
        assert_eq!(
            stack.anonymous().get(path).await.text(),
            "reached",
            "{path}"
        );
    }
    for path in ["/health", "/ready", "/openapi.json", "/docs/", "/"] {
        assert_eq!(
            stack.anonymous().get(path).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
    // What only looks like a public path.
    for path in ["/auth/login/x", "/auth//login", "/auth/./login"] {
        assert_eq!(
            stack.anonymous().get(path).await.status,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
    }
    stack.stop().await;
}

async fn the_service_judges_the_same_credential_again(mode: Mode) {
    // A whole service, with its own verification.
    let identity = touchstone_testing::TestIdentity::new();
    let routes = utoipa_axum::router::OpenApiRouter::new().route(
        "/documents",
        axum::routing::get(async |caller: Caller| caller.tenant.to_string()),
    );
    let document = touchstone_web::Surface::new(
        "document",
        &touchstone_lifecycle::Lifecycle::new(),
        &identity.metrics,
        identity.verifier.clone(),
        identity.ids.clone(),
    )
    .finish(routes);
    let stack = Stack::start(mode, [("document", document)]).await;
    let answer = stack.client().get("/documents").await;
    assert_eq!(answer.text(), stack.caller.tenant.to_string());
    for method in [Method::POST, Method::TRACE] {
        let wrong = stack.client().empty(method, "/documents").await;
        assert_eq!(wrong.problem(), "405 request.method_not_allowed");
        assert!(wrong.headers["allow"].to_str().unwrap().contains("GET"));
    }
    stack.stop().await;
}
