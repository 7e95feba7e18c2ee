//! Callers on this machine without a credential.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use axum::body::Body;
use http::Request;
use serde_json::Value;
use touchstone_types::Role;

use crate::support::{DUROV, Scene, tenant, world};

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

/// The words of a line of shell: those between single quotes stay together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.last_mut().unwrap().push_str(part);
            continue;
        }
        for (number, word) in part.split(' ').enumerate() {
            if number > 0 {
                words.push(String::new());
            }
            words.last_mut().unwrap().push_str(word);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What `curl` would send.
fn curled(line: &str) -> Request<Body> {
    let mut request = Request::builder();
    let mut body = Body::empty();
    let mut words = words(line).into_iter().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "-X" => request = request.method(words.next().unwrap().as_str()),
            "-H" => {
                let header = words.next().unwrap();
                let (name, value) = header.split_once(": ").unwrap();
                request = request.header(name, value);
            }
            "-d" => body = Body::from(words.next().unwrap()),
            "-OJ" => {}
            url => {
                let (host, path) = url.split_once('/').unwrap();
                request = request.header("host", host).uri(format!("/{path}"));
            }
        }
    }
    request.body(body).unwrap()
}

#[tokio::test]
async fn the_lines_of_the_readme_work_for_a_guest() {
    let scene = Scene::start().await;
    let guest = scene.stranger();
    scene
        .guests
        .are(scene.identity.caller_of(tenant(), Role::Member));
    let readme = include_str!("../../README.md");
    let lines: Vec<&str> = readme
        .lines()
        .filter(|line| line.starts_with("curl "))
        .collect();
    assert_eq!(
        lines.len(),
        12,
        "one for each of the table's paths: {lines:?}"
    );
    let truth = scene.simulator.truth(DUROV).unwrap();
    let number = truth.posts.iter().rfind(|post| post.media.is_some());
    let number = number.unwrap().id.to_string();
    let mut file = String::new();
    for line in lines {
        let line = line.replace("NAME", &file).replace("NUMBER", &number);
        let answer = guest.send(curled(&line)).await;
        assert!(answer.status.is_success(), "{line}: {}", answer.text());
        if line.ends_with("/files") {
            let listed: Value = answer.json();
            let name = &listed["data"]["files"][0]["filename"];
            name.as_str().unwrap().clone_into(&mut file);
        }
    }
}
