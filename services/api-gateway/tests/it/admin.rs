use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use touchstone_testing::{Answer, TestClient};
use touchstone_types::Role;

use crate::support::{Mode, Stack};

async fn stack() -> Stack {
    let answering = Router::new().fallback(async || "answered");
    Stack::with(Mode::InProcess, [("document", answering)], |config| {
        "standard".clone_into(&mut config.quota.limits.plan);
        let plan = config.quota.limits.plans.get_mut("standard").unwrap();
        (plan.minute, plan.hour, plan.day) = (0, 0, 2);
        "standard".clone_into(&mut config.quota.limits.operator);
    })
    .await
}

async fn put(client: &TestClient, tag: Option<&str>, limits: &Value) -> Answer {
    let mut request = Request::put("/api/v1/config").header("content-type", "application/json");
    if let Some(tag) = tag {
        request = request.header("if-match", tag);
    }
    let request = request.body(Body::from(limits.to_string())).unwrap();
    client.send(request).await
}

fn tag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn only_those_who_run_the_installation_get_in() {
    let stack = stack().await;
    let paths = [
        "/admin/decisions",
        "/admin/upstreams",
        "/admin/quotas?address=192.0.2.1",
        "/admin/config/changes",
    ];
    // The administrator of any tenant: everybody who registers is one.
    let stranger = TestClient::new(stack.admin.clone(), stack.token.clone());
    for path in paths {
        let nobody = TestClient::anonymous(stack.admin.clone());
        assert_eq!(
            nobody.get(path).await.problem(),
            "401 auth.missing_credential",
            "{path}"
        );
        assert_eq!(
            stranger.get(path).await.status,
            StatusCode::FORBIDDEN,
            "{path}"
        );
        // The public port does not even know of it.
        let public = stack.client().get(path).await;
        assert_eq!(public.problem(), "404 request.unknown_path", "{path}");
    }
    let client = stack.client();
    let read = client.get("/api/v1/config").await;
    assert_eq!(read.status, StatusCode::FORBIDDEN, "{}", read.text());
    let operator = stack.operator();
    for path in paths {
        assert_eq!(operator.get(path).await.status, StatusCode::OK, "{path}");
    }
    // The administrator of another tenant knows what to send, and it changes nothing.
    let read = client.get("/api/v1/config").await;
    let (first, limits) = (tag(&read), read.json::<Value>());
    let other = stack.identity.bearer(&stack.identity.caller());
    let other = TestClient::new(stack.router.clone(), other);
    let change = put(&other, Some(&first), &limits).await;
    assert_eq!(change.status, StatusCode::FORBIDDEN, "{}", change.text());
    let nobody = put(&stack.anonymous(), Some(&first), &limits).await;
    assert_eq!(nobody.problem(), "401 auth.missing_credential");
    assert_eq!(tag(&client.get("/api/v1/config").await), first);
    // A member of that tenant is no administrator.
    let member = stack.identity.caller_of(stack.caller.tenant, Role::Member);
    let member = TestClient::new(stack.admin.clone(), stack.identity.bearer(&member));
    assert_eq!(
        member.get("/admin/decisions").await.status,
        StatusCode::FORBIDDEN
    );
    stack.stop().await;
}

#[tokio::test]
async fn metrics_are_on_the_port_for_operators_only() {
    let stack = stack().await;
    let public = stack.anonymous().get("/metrics").await;
    assert_eq!(public.problem(), "404 request.unknown_path");
    let scraped = TestClient::anonymous(stack.admin.clone())
        .get("/metrics")
        .await;
    let text = scraped.text();
    for metric in [
        "touchstone_gateway_quota_mode{mode=\"memory\"} 1",
        "touchstone_gateway_request_duration_seconds",
    ] {
        assert!(text.contains(metric), "{text}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn every_denial_stands_in_the_ledger() {
    let stack = stack().await;
    for _ in 0..3 {
        stack.client().get("/documents").await;
    }
    let denied = stack.client().get("/documents").await;
    let id = denied.json::<Value>()["request_id"].clone();
    let operator = stack.operator();
    let decisions: Value = operator
        .get("/admin/decisions?policy=quota&limit=1")
        .await
        .json();
    let last = &decisions["items"][0];
    assert_eq!(decisions["heard"], 2, "{decisions}");
    assert_eq!(
        (&last["policy"], &last["action"], &last["request_id"]),
        (&json!("quota.subject"), &json!("denied"), &id)
    );
    assert!(
        last["until"].is_string() && last["time"].is_string(),
        "{last}"
    );
    let none: Value = operator.get("/admin/decisions?policy=breaker").await.json();
    assert_eq!(none["items"], json!([]));
    let caller = &stack.caller;
    let path = format!(
        "/admin/quotas?tenant={}&user={}",
        caller.tenant, caller.user
    );
    let standing: Value = operator.get(&path).await.json();
    assert_eq!(
        standing["classes"]["read"]["day"]["remaining"], 0,
        "{standing}"
    );
    // A look costs nothing, and a wrong question is told.
    let wrong = operator.get("/admin/quotas").await;
    assert!(wrong.status.is_client_error());
    stack.stop().await;
}

#[tokio::test]
async fn limits_change_at_once_for_those_who_saw_the_last_state() {
    let stack = stack().await;
    let operator = stack.operator();
    let client = stack.client();
    let read = client.get("/api/v1/config").await;
    let (first, mut limits) = (tag(&read), read.json::<Value>());
    let unchanged = Request::get("/api/v1/config").header("if-none-match", &first);
    let unchanged = client.send(unchanged.body(Body::empty()).unwrap()).await;
    assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
    for _ in 0..2 {
        assert_eq!(client.get("/documents").await.status, StatusCode::OK);
    }
    assert_eq!(
        client.get("/documents").await.status,
        StatusCode::TOO_MANY_REQUESTS
    );

    limits["plans"]["standard"]["day"] = json!(3);
    let blind = put(&client, None, &limits).await;
    assert_eq!(blind.problem(), "428 gateway.config_no_match");
    let stale = put(&client, Some("\"0-0\""), &limits).await;
    assert_eq!(stale.problem(), "412 gateway.config_changed");
    let mut wrong = limits.clone();
    wrong["plan"] = json!("nobody's");
    wrong["plans"]["standard"]["classes"]["cooking"] = json!({ "day": 1 });
    let wrong = put(&client, Some(&first), &wrong).await;
    assert_eq!(wrong.problem(), "422 gateway.config_invalid");
    // Both mistakes at once.
    assert!(wrong.text().contains("nobody's") && wrong.text().contains("cooking"));

    let changed = put(&client, Some(&first), &limits).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text());
    assert_ne!(tag(&changed), first);
    let again = put(&client, Some(&first), &limits).await;
    assert_eq!(again.problem(), "412 gateway.config_changed");
    // What was counted counts on.
    assert_eq!(client.get("/documents").await.status, StatusCode::OK);
    assert_eq!(
        client.get("/documents").await.status,
        StatusCode::TOO_MANY_REQUESTS
    );

    let changes: Value = operator.get("/admin/config/changes").await.json();
    assert_eq!(changes.as_array().unwrap().len(), 1, "{changes}");
    assert_eq!(changes[0]["user"], json!(stack.caller.user));
    assert_eq!(changes[0]["parts"], json!(["plans.standard"]));
    stack.stop().await;
}
