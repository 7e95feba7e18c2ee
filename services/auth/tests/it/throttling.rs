use std::time::Duration;

use crate::harness::{App, PASSWORD, body_of};

#[tokio::test]
async fn fifty_strangers_are_slowed_down_and_the_owner_is_not() {
    let app = App::new().await;
    let body = serde_json::json!({"email": "ada@example.org", "password": PASSWORD});
    let home = Some("192.0.2.1");
    assert_eq!(
        app.post_from("/auth/register", &body, home).await.status,
        201
    );
    let mut throttled = 0;
    for stranger in 0..50 {
        let address = format!("198.51.100.{stranger}");
        let answer = app
            .login_from("ada@example.org", "wrong password", Some(&address))
            .await;
        match answer.problem().as_str() {
            "401 auth.invalid_credentials" => {}
            "429 auth.throttled" => {
                assert!(answer.headers.contains_key("retry-after"));
                throttled += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(throttled, 30);
    assert_eq!(app.hashes("login"), 20);
    let abroad = app
        .login_from("ada@example.org", PASSWORD, Some("203.0.113.9"))
        .await;
    assert_eq!(abroad.problem(), "429 auth.throttled");
    assert_eq!(
        app.login_from("ada@example.org", PASSWORD, home)
            .await
            .status,
        200
    );
    app.clock.advance(Duration::from_secs(1));
    let abroad = app
        .login_from("ada@example.org", PASSWORD, Some("203.0.113.9"))
        .await;
    assert_eq!(abroad.status, 200);
}

#[tokio::test]
async fn one_address_waits_longer_after_each_failure() {
    let app = App::new().await;
    app.register("ada@example.org").await;
    let wrong = || app.login_from("ada@example.org", "wrong password", Some("192.0.2.7"));
    for _ in 0..5 {
        assert_eq!(wrong().await.status, 401);
    }
    for seconds in [1, 2, 4, 8] {
        let answer = wrong().await;
        assert_eq!(answer.problem(), "429 auth.throttled");
        assert_eq!(answer.headers["retry-after"], seconds.to_string());
        app.clock.advance(Duration::from_secs(seconds));
        assert_eq!(wrong().await.status, 401);
    }
    // Another host of the same IPv6 network is the same address; another address is not.
    for host in 1..=5 {
        let address = format!("2001:db8::{host}");
        app.login_from("ada@example.org", "wrong password", Some(&address))
            .await;
    }
    let same = app
        .login_from("ada@example.org", PASSWORD, Some("2001:db8::ffff"))
        .await;
    assert_eq!(same.status, 429);
    assert_eq!(
        app.login_from("ada@example.org", PASSWORD, Some("2001:db8:0:1::1"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn an_unknown_account_is_slowed_down_like_a_known_one() {
    let app = App::new().await;
    app.register("ada@example.org").await;
    for _ in 0..8 {
        let address = Some("192.0.2.7");
        let known = app
            .login_from("ada@example.org", "wrong password", address)
            .await;
        let unknown = app
            .login_from("eve@example.org", "wrong password", address)
            .await;
        assert_eq!(known.status, unknown.status);
        assert_eq!(body_of(&known), body_of(&unknown));
    }
}

#[tokio::test]
async fn a_stolen_session_cannot_guess_the_password_quickly() {
    let app = App::new().await;
    let client = app.client(&app.register("ada@example.org").await.access_token);
    let body = serde_json::json!({"current_password": "wrong", "new_password": "another horse 8"});
    for _ in 0..5 {
        let answer = client.post("/auth/password", &body).await;
        assert_eq!(answer.problem(), "403 auth.wrong_password");
    }
    assert_eq!(
        client.post("/auth/password", &body).await.problem(),
        "429 auth.throttled"
    );
}
