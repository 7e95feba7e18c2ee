#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use serde_json::Value;

use crate::support::{DUROV, Scene};

fn numbers(body: &Value) -> Vec<i64> {
    let posts = body["data"]["posts"].as_array().unwrap();
    posts
        .iter()
        .map(|post| post["message_id"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn pages_between_two_numbers_are_what_the_channel_has_there() {
    let scene = Scene::start().await;
    scene.join("durov").await;
    let truth = scene.simulator.truth(DUROV).unwrap();
    for (query, before, after, limit) in [
        ("", i32::MAX, 0, 100),
        ("?limit=250", i32::MAX, 0, 250),
        ("?limit=7&before=300", 300, 0, 7),
        ("?limit=1000&after=400", i32::MAX, 400, 1000),
        ("?limit=150&before=300&after=20", 300, 20, 150),
        ("?before=1", 1, 0, 100),
        ("?before=10&after=10", 10, 10, 100),
    ] {
        let answer = scene
            .client
            .get(&format!("/channels/{DUROV}/messages{query}"))
            .await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        let wanted: Vec<i64> = truth
            .posts
            .iter()
            .rev()
            .filter(|post| post.id < before && post.id > after)
            .take(limit)
            .map(|post| i64::from(post.id))
            .collect();
        assert_eq!(numbers(&answer.json()), wanted, "{query}");
    }
}

#[tokio::test]
async fn channels_nobody_met_and_wrong_numbers_are_refused() {
    let scene = Scene::start().await;
    for (path, problem) in [
        ("/channels/77/messages", "404 telegram.channel_not_found"),
        // Public, but the account has not met it: an id alone opens nothing.
        (
            &format!("/channels/{DUROV}/messages"),
            "404 telegram.channel_not_found",
        ),
        (
            &format!("/channels/{DUROV}/messages?limit=0"),
            "422 request.invalid",
        ),
        (
            &format!("/channels/{DUROV}/messages?limit=1001"),
            "422 request.invalid",
        ),
        (
            &format!("/channels/{DUROV}/messages?before=0"),
            "422 request.invalid",
        ),
        (
            &format!("/channels/{DUROV}/messages?after=-1"),
            "422 request.invalid",
        ),
    ] {
        assert_eq!(scene.client.get(path).await.problem(), problem, "{path}");
    }
    let answer = scene.client.get("/channels/durov/messages").await;
    assert_eq!(answer.status, 404, "{}", answer.text());
}

#[tokio::test]
async fn a_channel_that_was_met_by_name_is_known_by_its_number_after_the_next_start() {
    let scene = Scene::start().await;
    scene.parsed("durov", 3).await;
    let scene = scene.restart().await;
    let path = format!("/channels/{DUROV}/messages?limit=3");
    let answer = scene.client.get(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(numbers(&answer.json()).len(), 3);
}

#[tokio::test]
async fn posts_tell_what_their_channel_is_called_now() {
    let scene = Scene::start().await;
    let title = |body: &Value| body["data"]["posts"][0]["channel_title"].clone();
    scene.join("durov").await;
    let path = format!("/channels/{DUROV}/messages?limit=1");
    let body: Value = scene.client.get(&path).await.json();
    assert_eq!(title(&body), "Pavel Durov");
    assert!(scene.simulator.rename(DUROV, "P. Durov"));
    let body: Value = scene.client.get(&path).await.json();
    assert_eq!(title(&body), "P. Durov");
    let parsed = scene.parsed("durov", 1).await;
    assert_eq!(parsed["posts"][0]["channel_title"], "P. Durov");
}
