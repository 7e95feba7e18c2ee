//! Telegram channels, through the gateway, down to the citation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use touchstone_lifecycle::Lifecycle;
use touchstone_telegram_simulator::{PostRequest, Scenario, Simulator};
use touchstone_types::SystemClock;

use crate::support::{Client, Deployment};

const PATIENCE: Duration = Duration::from_mins(1);

/// Searches until the hits are as wanted.
async fn found(client: &Client, query: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let started = Instant::now();
    loop {
        let hits = client.search(query).await["hits"]
            .as_array()
            .unwrap()
            .clone();
        if wanted(&hits) {
            return hits;
        }
        assert!(started.elapsed() < PATIENCE, "{query}: {hits:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn links(hits: &[Value]) -> Vec<&str> {
    hits.iter()
        .filter_map(|hit| hit["metadata"]["url"].as_str())
        .collect()
}

pub async fn posts_are_parsed_found_and_cited_with_a_link(base: &str) {
    let client = Client::register(base, "channels").await;
    let body = json!({"channel_username": "durov", "limit": 30});
    let parsed = client.post("/channels/parse", &body).await.ok();
    let posts = parsed["data"]["posts"].as_array().unwrap();
    assert_eq!(posts.len(), 30);
    let longest = posts
        .iter()
        .max_by_key(|post| post["text"].as_str().unwrap().len())
        .unwrap();
    let text = longest["text"].as_str().unwrap();
    let hits = found(&client, text, |hits| !links(hits).is_empty()).await;
    assert!(
        links(&hits)
            .iter()
            .all(|link| link.starts_with("https://t.me/durov/")),
        "{hits:?}"
    );
    let name = parsed["data"]["files"]["json"].as_str().unwrap();
    let file = client.get(&format!("/files/{name}")).await.ok();
    assert_eq!(file["total_posts"], 30);
    let answer = client
        .post(
            "/channels/parse",
            &json!({"channel_username": "no_such_one"}),
        )
        .await;
    assert_eq!(answer.problem(), "404 telegram.channel_not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_follows_its_post_through_edits_to_its_end() {
    let life = Lifecycle::new();
    let any = "127.0.0.1:0".parse().unwrap();
    let clock = Arc::new(SystemClock);
    let scenario = Scenario {
        channels: 2,
        ..Scenario::default()
    };
    let simulator = Simulator::start(any, scenario, clock, &life).await.unwrap();
    let deployment = Deployment::with(|loader| {
        loader
            .set("telegram.session", simulator.session())
            .set("telegram.api_id", "1")
            .set("telegram.api_hash", "hash")
            .set("telegram.rate_limit", "100")
    })
    .await;
    let client = Client::register(&deployment.gateway, "follower").await;
    let body = json!({"channel_username": "durov"});
    let joined = client.post("/channels/join", &body).await.ok();
    let id = joined["data"]["id"].as_i64().unwrap();
    client
        .post(&format!("/channels/{id}/sync"), &json!({}))
        .await
        .ok();

    let post = |text: &str| PostRequest::text(text);
    let number = simulator
        .post(id, post("The ferry to Brae leaves at nine o'clock."))
        .unwrap();
    let question = "When does the ferry to Brae leave?";
    let link = format!("https://t.me/durov/{number}");
    let about = |word: &'static str| {
        move |hits: &[Value]| {
            hits.iter()
                .any(|hit| hit["text"].as_str().unwrap().contains(word))
        }
    };
    found(&client, question, about("at nine o'clock")).await;
    let answer = client.ask(question).await;
    let cited = &answer["citations"][0];
    assert_eq!(cited["url"], link.as_str(), "{answer}");
    assert!(
        cited["quote"].as_str().unwrap().contains("at nine o'clock"),
        "{answer}"
    );

    simulator.edit(id, number, "The ferry to Brae leaves at ten o'clock.");
    found(&client, question, |hits| {
        about("at ten o'clock")(hits) && !about("at nine o'clock")(hits)
    })
    .await;
    let answer = client.ask(question).await;
    assert!(
        answer["answer"]
            .as_str()
            .unwrap()
            .contains("at ten o'clock"),
        "{answer}"
    );
    assert!(!answer.to_string().contains("at nine o'clock"), "{answer}");

    simulator.delete(id, &[number]);
    found(&client, question, |hits| {
        !links(hits).contains(&link.as_str())
    })
    .await;
    let answer = client.ask(question).await;
    assert!(
        !answer.to_string().contains(&link),
        "a deleted post is not cited: {answer}"
    );
    deployment.stop().await;
}
