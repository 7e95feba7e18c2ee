use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use touchstone_api::auth::TokenResponse;
use touchstone_auth::Config;

use crate::harness::{App, PASSWORD, config};

const DEAD: &str = "401 auth.invalid_refresh_token";

async fn next(app: &App, token: &str) -> TokenResponse {
    let answer = app.refresh(token).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn refreshes(app: &App, outcome: &str) -> u64 {
    app.metric(&format!(
        "touchstone_auth_refreshes_total{{outcome=\"{outcome}\"}}"
    ))
}

#[tokio::test]
async fn a_refresh_spends_the_token_for_its_child() {
    let app = App::new().await;
    let first = app.register("ada@example.org").await;
    let second = next(&app, &first.refresh_token).await;
    assert_ne!(first.refresh_token, second.refresh_token);
    assert_ne!(first.access_token, second.access_token);
    assert_eq!(app.me(&second.access_token).await, "200");
    let third = next(&app, &second.refresh_token).await;
    assert_ne!(second.refresh_token, third.refresh_token);
    assert_eq!(refreshes(&app, "rotated"), 2);
}

#[tokio::test]
async fn a_hundred_refreshes_of_one_token_at_once_make_one_lineage() {
    let app = App::new().await;
    let first = app.register("ada@example.org").await;
    let answers = join_all((0..100).map(|_| app.refresh(&first.refresh_token))).await;
    let children: Vec<TokenResponse> = answers
        .iter()
        .map(|answer| {
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.json()
        })
        .collect();
    let child = &children[0].refresh_token;
    assert!(children.iter().all(|other| other.refresh_token == *child));
    assert_eq!(
        (refreshes(&app, "rotated"), refreshes(&app, "repeated")),
        (1, 99)
    );
    assert_eq!(app.metric("touchstone_auth_families_killed_total"), 0);
    assert!(app.is_valid(&children[99].access_token).await);
    next(&app, child).await;
}

#[tokio::test]
async fn a_replayed_grandparent_ends_the_family_at_once() {
    let app = App::new().await;
    let first = app.register("ada@example.org").await;
    let second = next(&app, &first.refresh_token).await;
    let third = next(&app, &second.refresh_token).await;
    let other: TokenResponse = app.login("ada@example.org", PASSWORD).await.json();
    assert!(app.is_valid(&third.access_token).await);
    assert_eq!(app.refresh(&first.refresh_token).await.problem(), DEAD);
    // Descendants at +0, +50 and +300 ms, the leaf first.
    for wait in [0, 50, 300] {
        app.clock.advance(Duration::from_millis(wait));
        for token in [&third, &second, &first] {
            assert_eq!(app.refresh(&token.refresh_token).await.problem(), DEAD);
            assert!(!app.is_valid(&token.access_token).await);
        }
    }
    assert_eq!(app.metric("touchstone_auth_families_killed_total"), 1);
    next(&app, &other.refresh_token).await;
    // Elsewhere its access tokens die with their time, at the latest.
    app.clock.advance(Duration::from_secs(305));
    assert_eq!(
        app.me(&third.access_token).await,
        "401 auth.invalid_credential"
    );
}

#[tokio::test]
async fn only_the_immediate_parent_has_ten_seconds_of_grace() {
    let app = App::new().await;
    let first = app.register("ada@example.org").await;
    let second = next(&app, &first.refresh_token).await;
    for _ in 0..4 {
        app.clock.advance(Duration::from_millis(2_500));
        let again = next(&app, &first.refresh_token).await;
        assert_eq!(again.refresh_token, second.refresh_token);
    }
    // The repeated calls did not prolong it.
    app.clock.advance(Duration::from_millis(1));
    assert_eq!(app.refresh(&first.refresh_token).await.problem(), DEAD);
    assert_eq!(app.refresh(&second.refresh_token).await.problem(), DEAD);
}

#[tokio::test]
async fn a_parent_whose_child_was_spent_has_no_grace() {
    let app = App::new().await;
    let first = app.register("ada@example.org").await;
    let second = next(&app, &first.refresh_token).await;
    let third = next(&app, &second.refresh_token).await;
    assert_eq!(app.refresh(&first.refresh_token).await.problem(), DEAD);
    assert_eq!(app.refresh(&third.refresh_token).await.problem(), DEAD);
}

#[tokio::test]
async fn logout_ends_the_family_by_any_of_its_tokens() {
    let app = App::new().await;
    for spent in [false, true] {
        let first = app.register(&format!("{spent}@example.org")).await;
        let second = next(&app, &first.refresh_token).await;
        let token = if spent { &first } else { &second };
        assert_eq!(app.logout(&token.refresh_token).await.status, 204);
        assert_eq!(app.refresh(&second.refresh_token).await.problem(), DEAD);
        assert!(!app.is_valid(&second.access_token).await);
        assert_eq!(app.logout(&token.refresh_token).await.status, 204);
    }
    let nobody = app
        .logout("tsr_0000000000000000000000000000000000000000000")
        .await;
    assert_eq!((nobody.status.as_u16(), nobody.text().as_str()), (204, ""));
}

#[tokio::test]
async fn a_login_ends_by_itself() {
    let app = App::new().await;
    let mut token = app.register("ada@example.org").await.refresh_token;
    for _ in 0..29 {
        app.clock.advance(Duration::from_hours(24));
        token = next(&app, &token).await.refresh_token;
    }
    app.clock.advance(Duration::from_hours(24));
    assert_eq!(app.refresh(&token).await.problem(), DEAD);
}

#[tokio::test]
async fn every_refusal_of_a_refresh_token_is_the_same() {
    let app = App::new().await;
    let first = app.register("ada@example.org").await;
    let second = next(&app, &first.refresh_token).await;
    app.logout(&second.refresh_token).await;
    let unknown = "tsr_0000000000000000000000000000000000000000000";
    let mut bodies = Vec::new();
    for token in [
        &second.refresh_token,
        &first.refresh_token,
        unknown,
        "nonsense",
    ] {
        bodies.push(crate::harness::body_of(&app.refresh(token).await));
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
}

#[tokio::test]
async fn logins_survive_a_restart_and_the_file_holds_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}/auth.db", directory.path().display());
    let app = App::with(Config {
        store: store.clone().into(),
        ..config()
    })
    .await;
    let first = app.register("ada@example.org").await;
    let second = next(&app, &first.refresh_token).await;
    let key = serde_json::json!({"name": "ci"});
    let key = app
        .client(&second.access_token)
        .post("/auth/api-keys", &key)
        .await;
    let key = key.json::<Value>()["key"].as_str().unwrap().to_owned();
    app.stop().await;

    let app = App::with(Config {
        store: store.into(),
        ..config()
    })
    .await;
    assert_eq!(app.me(&second.access_token).await, "200");
    assert!(app.is_valid(&key).await);
    next(&app, &second.refresh_token).await;
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in [&first.refresh_token, &second.refresh_token, &key, PASSWORD] {
            let secret = secret.trim_start_matches("tsr_");
            assert!(
                !bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes())
            );
        }
        let token = second.access_token.as_bytes();
        assert!(!bytes.windows(token.len()).any(|window| window == token));
    }
}
