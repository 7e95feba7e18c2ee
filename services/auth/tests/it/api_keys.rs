use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use touchstone_identity::RequestContext;
use touchstone_testing::{Answer, TestClient};
use touchstone_types::Role;

use crate::harness::{App, PASSWORD};

async fn make(client: &TestClient, body: &Value, idempotency_key: Option<&str>) -> Answer {
    let mut request = Request::post("/auth/api-keys").header("content-type", "application/json");
    if let Some(key) = idempotency_key {
        request = request.header("idempotency-key", key);
    }
    client
        .send(request.body(Body::from(body.to_string())).unwrap())
        .await
}

async fn key(client: &TestClient, name: &str) -> (String, String) {
    let answer = make(client, &json!({"name": name}), None).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let body: Value = answer.json();
    (
        body["id"].as_str().unwrap().to_owned(),
        body["key"].as_str().unwrap().to_owned(),
    )
}

async fn admin(app: &App, email: &str) -> TestClient {
    app.client(&app.register(email).await.access_token)
}

#[tokio::test]
async fn a_key_is_shown_once_and_opens_its_makers_tenant() {
    let app = App::new().await;
    let client = admin(&app, "ada@example.org").await;
    let (id, key) = key(&client, "ci").await;
    assert!(key.starts_with("tsk_") && key.len() == 47, "{key}");
    let me: Value = app.client(&key).get("/auth/me").await.json();
    assert_eq!(me["email"], "ada@example.org");
    let request = Request::get("/auth/me")
        .header("x-api-key", &key)
        .body(Body::empty())
        .unwrap();
    assert_eq!(app.anonymous().send(request).await.status, 200);

    let list = client.get("/auth/api-keys").await;
    assert!(!list.text().contains(&key));
    let list: Value = list.json();
    assert_eq!(
        (&list["items"][0]["id"], &list["items"][0]["name"]),
        (&json!(id), &json!("ci"))
    );
    assert_eq!(list["items"][0]["prefix"].as_str().unwrap(), &key[..12]);

    let verdict: Value = app
        .anonymous()
        .post("/auth/validate", &json!({"token": key}))
        .await
        .json();
    assert_eq!(
        (&verdict["valid"], &verdict["role"]),
        (&json!(true), &json!("admin"))
    );
    assert_eq!(verdict["tenant_id"], me["tenant_id"]);
    let mut wrong = key.clone();
    let last = wrong.pop().unwrap();
    wrong.push(if last == 'A' { 'B' } else { 'A' });
    assert!(
        !app.is_valid(&wrong).await,
        "the prefix alone opens nothing"
    );

    assert_eq!(
        client.delete(&format!("/auth/api-keys/{id}")).await.status,
        204
    );
    assert!(!app.is_valid(&key).await);
    assert_eq!(app.me(&key).await, "401 auth.invalid_credential");
    assert_eq!(
        client
            .delete(&format!("/auth/api-keys/{id}"))
            .await
            .problem(),
        "404 auth.unknown_api_key"
    );
}

#[tokio::test]
async fn another_tenants_key_does_not_exist() {
    let app = App::new().await;
    let (ada, eve) = (
        admin(&app, "ada@example.org").await,
        admin(&app, "eve@example.org").await,
    );
    let (id, key) = key(&ada, "ci").await;
    let foreign = eve.delete(&format!("/auth/api-keys/{id}")).await;
    assert_eq!(foreign.problem(), "404 auth.unknown_api_key");
    let unknown = eve
        .delete("/auth/api-keys/0192f0c1-2b3a-7cde-8f01-23456789abcd")
        .await;
    assert_eq!(unknown.problem(), "404 auth.unknown_api_key");
    assert_eq!(
        eve.delete("/auth/api-keys/1%20OR%201=1").await.problem(),
        "404 request.unknown_id"
    );
    let list: Value = eve.get("/auth/api-keys").await.json();
    assert_eq!(list, json!({"items": []}));
    assert!(app.is_valid(&key).await);
    for (field, value) in [("tenant_id", "x"), ("role", "admin"), ("user_id", "x")] {
        let answer = make(&eve, &json!({"name": "x", field: value}), None).await;
        assert_eq!(answer.problem(), "422 request.invalid");
    }
}

#[tokio::test]
async fn members_and_keys_make_no_keys() {
    let app = App::new().await;
    let token = app.register("ada@example.org").await.access_token;
    let context = RequestContext::background("test");
    let caller = app.verifier.verify(&token, context).await.unwrap();
    app.auth
        .add_user(&caller, "bob@example.org", PASSWORD.into(), Role::Member)
        .await
        .unwrap();
    let bob: Value = app.login("bob@example.org", PASSWORD).await.json();
    let bob = app.client(bob["access_token"].as_str().unwrap());
    let (id, key) = key(&app.client(&token), "ci").await;
    let path = format!("/auth/api-keys/{id}");
    assert_eq!(
        make(&bob, &json!({"name": "x"}), None).await.problem(),
        "403 auth.admin_required"
    );
    assert_eq!(
        bob.get("/auth/api-keys").await.problem(),
        "403 auth.admin_required"
    );
    assert_eq!(bob.delete(&path).await.problem(), "403 auth.admin_required");
    let by_key = app.client(&key);
    assert_eq!(
        make(&by_key, &json!({"name": "x"}), None).await.problem(),
        "401 auth.login_required"
    );
    assert_eq!(
        by_key.delete(&path).await.problem(),
        "401 auth.login_required"
    );
    assert_eq!(by_key.get("/auth/api-keys").await.status, 200);
    let change = json!({"current_password": PASSWORD, "new_password": "another horse 8"});
    let change = by_key.post("/auth/password", &change).await;
    assert_eq!(change.problem(), "401 auth.login_required");
    assert_eq!(
        make(&app.anonymous(), &json!({"name": "x"}), None)
            .await
            .problem(),
        "401 auth.missing_credential"
    );
}

#[tokio::test]
async fn a_key_ends_when_it_says_and_its_use_is_noted_to_the_minute() {
    let app = App::new().await;
    let client = admin(&app, "ada@example.org").await;
    for (body, expected) in [
        (
            json!({"name": "x", "expires_in_days": 0}),
            "422 auth.invalid_field",
        ),
        (
            json!({"name": "x", "expires_in_days": 3651}),
            "422 auth.invalid_field",
        ),
        (json!({"name": ""}), "422 auth.invalid_field"),
        (json!({"name": "x".repeat(101)}), "422 auth.invalid_field"),
    ] {
        assert_eq!(make(&client, &body, None).await.problem(), expected);
    }
    let answer = make(
        &client,
        &json!({"name": "short", "expires_in_days": 1}),
        None,
    )
    .await;
    let body: Value = answer.json();
    let key = body["key"].as_str().unwrap();
    assert_eq!(body["expires_at"], "2026-01-02T00:00:00Z");
    assert!(body.get("last_used_at").is_none());

    app.clock.advance(Duration::from_secs(61));
    assert!(app.is_valid(key).await);
    app.clock.advance(Duration::from_secs(58));
    assert!(app.is_valid(key).await);
    let list: Value = client.get("/auth/api-keys").await.json();
    assert_eq!(list["items"][0]["last_used_at"], "2026-01-01T00:01:00Z");
    app.clock
        .advance(Duration::from_hours(24) - Duration::from_mins(2));
    assert!(app.is_valid(key).await);
    app.clock.advance(Duration::from_secs(1));
    assert!(!app.is_valid(key).await);
}

#[tokio::test]
async fn a_repeated_call_makes_one_key() {
    let app = App::new().await;
    let client = admin(&app, "ada@example.org").await;
    let body = json!({"name": "ci"});
    let first: Value = make(&client, &body, Some("retry-1")).await.json();
    let again = make(&client, &body, Some("retry-1")).await;
    assert_eq!(again.status, 201);
    let again: Value = again.json();
    assert_eq!(first["id"], again["id"]);
    assert_ne!(first["key"], again["key"]);
    assert!(
        !app.is_valid(first["key"].as_str().unwrap()).await,
        "one secret per key"
    );
    assert!(app.is_valid(again["key"].as_str().unwrap()).await);
    assert_eq!(
        make(&client, &body, Some("retry-1")).await.problem(),
        "409 auth.already_created"
    );
    let other = make(&client, &json!({"name": "other"}), Some("retry-1")).await;
    assert_eq!(other.problem(), "422 auth.idempotency_key_reused");
    let long = "x".repeat(256);
    for bad in ["", "with space", &long] {
        let answer = make(&client, &body, Some(bad)).await;
        assert_eq!(answer.problem(), "422 auth.invalid_idempotency_key");
    }
    let eve = admin(&app, "eve@example.org").await;
    let foreign: Value = make(&eve, &body, Some("retry-1")).await.json();
    assert_ne!(foreign["id"], first["id"]);
    let list: Value = client.get("/auth/api-keys").await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_list_has_pages() {
    let app = App::new().await;
    let client = admin(&app, "ada@example.org").await;
    for number in 0..5 {
        app.clock.advance(Duration::from_millis(1));
        key(&client, &format!("key {number}")).await;
    }
    let (mut path, mut names) = ("/auth/api-keys?limit=2".to_owned(), Vec::new());
    loop {
        let page: Value = client.get(&path).await.json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        names.extend(
            items
                .iter()
                .map(|item| item["name"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/auth/api-keys?limit=2&cursor={cursor}");
    }
    assert_eq!(names, ["key 0", "key 1", "key 2", "key 3", "key 4"]);
    for (query, expected) in [
        ("limit=0", "422 auth.invalid_field"),
        ("limit=201", "422 auth.invalid_field"),
        ("limit=x", "422 request.invalid"),
        ("cursor=x", "422 request.invalid_cursor"),
        ("sort=name", "422 request.invalid"),
    ] {
        let answer = client.get(&format!("/auth/api-keys?{query}")).await;
        assert_eq!(answer.problem(), expected, "{query}");
    }
}
