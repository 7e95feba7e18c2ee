//! Callers on this machine without a credential.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use axum::body::Body;
use http::Request;
use serde_json::Value;
use touchstone_types::Role;

use crate::support::{Scene, tenant, world};

fn list(host: &str, more: Option<(&str, &str)>) -> Request<Body> {
    let mut request = Request::builder()
        .uri("/channels/list")
        .header("host", host);
    if let Some((name, value)) = more {
        request = request.header(name, value);
    }
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn guests_are_taken_for_their_host_and_for_nobody_before_there_is_one() {
    let scene = Scene::start().await;
    let stranger = scene.stranger();
    let host = "localhost:8008";
    assert_eq!(
        stranger.send(list(host, None)).await.status,
        401,
        "there is no host yet"
    );
    scene
        .guests
        .are(scene.identity.caller_of(tenant(), Role::Member));
    assert_eq!(stranger.send(list(host, None)).await.status, 200);
    for (host, more) in [
        ("touchstone.example.com", None),
        (host, Some(("origin", "http://localhost:8008"))),
        (host, Some(("x-forwarded-for", "192.0.2.1"))),
        (host, Some(("authorization", "Bearer wrong"))),
        (host, Some(("x-api-key", "wrong"))),
    ] {
        assert_eq!(
            stranger.send(list(host, more)).await.status,
            401,
            "{host} {more:?}"
        );
    }
    assert_eq!(scene.health().await["details"]["anonymous_loopback"], true);
}

#[tokio::test]
async fn guests_are_refused_where_the_configuration_says_so() {
    let scene = Scene::of(world(), |config| config.anonymous_loopback = false).await;
    scene
        .guests
        .are(scene.identity.caller_of(tenant(), Role::Member));
    let answer = scene.stranger().send(list("localhost", None)).await;
    assert_eq!(answer.status, 401);
    let health: Value = scene.health().await;
    assert_eq!(health["details"]["anonymous_loopback"], false);
}
