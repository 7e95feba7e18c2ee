//! Nothing secret reaches a log, a problem's detail or `{:?}`.

use http::Method;
use serde_json::{Value, json};
use touchstone_auth::Config;
use touchstone_testing::Log;

use crate::harness::{App, config};

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap().to_owned()
}

/// Requests that are refused, each with canaries in it; returns the answers.
async fn provoke(app: &App, email: &str, password: &str, tokens: &Value, key: &str) -> Vec<String> {
    let (access, refresh) = (text(tokens, "access_token"), text(tokens, "refresh_token"));
    let (anonymous, wrong) = (app.anonymous(), "canary-password-2");
    let mut answers = Vec::new();
    for (path, body) in [
        (
            "/auth/register",
            json!({"email": email, "password": password}),
        ),
        (
            "/auth/register",
            json!({"email": "canary-address", "password": wrong}),
        ),
        (
            "/auth/register",
            json!({"email": email, "password": "short"}),
        ),
        ("/auth/login", json!({"email": email, "password": wrong})),
        (
            "/auth/login",
            json!({"email": "canary-address@nowhere", "password": password}),
        ),
        ("/auth/login", json!({"email": email, "password": [wrong]})),
        (
            "/auth/login",
            json!({"email": email, "password": password, wrong: 1}),
        ),
        ("/auth/login", json!(wrong)),
        (
            "/auth/refresh",
            json!({"refresh_token": format!("{refresh}x")}),
        ),
        ("/auth/refresh", json!({"token": refresh})),
        ("/auth/validate", json!({"token": {wrong: key}})),
    ] {
        let answer = anonymous.post(path, &body).await;
        assert!(answer.status.is_client_error(), "{path} {}", answer.text());
        answers.push(answer.text());
    }
    let broken = "{\"password\": \"canary-password-2";
    let broken = anonymous
        .raw(Method::POST, "/auth/login", "application/json", broken)
        .await;
    answers.push(broken.text());
    answers.push(
        app.client(&format!("{access}x"))
            .get("/auth/me")
            .await
            .text(),
    );
    for _ in 0..6 {
        answers.push(app.login(email, wrong).await.text());
    }
    answers
}

#[tokio::test]
async fn no_log_line_holds_an_address_a_password_or_a_token() {
    let log = Log::listen();

    let secret = "canary-jwt-secret-0123456789abcdef";
    let config = Config {
        jwt_secret: secret.into(),
        ..config()
    };
    assert!(!format!("{config:?}").contains("canary"));
    let app = App::with(config).await;

    let (email, password) = ("canary-address@example.org", "canary-password-1");
    let register = json!({"email": email, "password": password});
    let tokens: Value = app
        .anonymous()
        .post("/auth/register", &register)
        .await
        .json();
    let client = app.client(&text(&tokens, "access_token"));
    let key: Value = client
        .post("/auth/api-keys", &json!({"name": "ci"}))
        .await
        .json();
    let key = text(&key, "key");
    app.me(&key).await;
    let mut answers = provoke(&app, email, password, &tokens, &key).await;
    let second: Value = app.refresh(&text(&tokens, "refresh_token")).await.json();
    let third: Value = app.refresh(&text(&second, "refresh_token")).await.json();
    answers.push(app.refresh(&text(&tokens, "refresh_token")).await.text());
    app.stop().await;

    let mut canaries = vec![secret.to_owned(), key];
    canaries.extend(["canary-address", password, "canary-password-2"].map(str::to_owned));
    for pair in [tokens, second, third] {
        canaries.extend([text(&pair, "access_token"), text(&pair, "refresh_token")]);
    }
    let log = log.text();
    assert!(
        log.contains("/auth/login answered 401"),
        "the log was not captured:\n{log}"
    );
    assert!(log.contains("a spent refresh token came back"), "{log}");
    for canary in &canaries {
        for line in log.lines().chain(answers.iter().map(String::as_str)) {
            assert!(!line.contains(canary.as_str()), "`{canary}` in: {line}");
        }
    }
}
