//! The batches in front of the models.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use touchstone_api::model::ModelTask;

use crate::fake::{App, Fake, app, model};

fn held() -> Fake {
    let mut fake = Fake::new(vec![model("mini", ModelTask::Embed, true)]);
    fake.permits = Arc::new(Semaphore::new(0));
    fake
}

fn query(text: &str) -> Value {
    json!({"input": [text], "kind": "query"})
}

/// Waits until a condition holds; the test's own bound ends a wait in vain.
async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_gather_while_the_model_works_go_in_one_call() {
    let fake = held();
    let App {
        client,
        identity,
        life,
        ..
    } = app(Some(&fake)).await;
    let metrics = identity.metrics.scope("embedding");
    let waiting = |count: usize| {
        let line = format!("touchstone_embedding_waiting {count}\n");
        move || metrics.encode().contains(&line)
    };
    let first = async { client.post("/embeddings", &query("first")).await };
    let bodies: Vec<_> = (0..20).map(|n| query(&format!("text {n}"))).collect();
    let rest = async {
        until(|| fake.calls.lock().unwrap().len() == 1).await;
        let release = async {
            until(waiting(20)).await;
            fake.permits.add_permits(100);
        };
        let posts = bodies.iter().map(|body| client.post("/embeddings", body));
        tokio::join!(join_all(posts), release).0
    };
    let (first, rest) = tokio::join!(first, rest);
    assert_eq!(first.status, 200);
    for (n, answer) in rest.iter().enumerate() {
        let body: Value = answer.json();
        assert_eq!(
            body["items"][0]["dense"][0],
            format!("text {n}").len() as f64
        );
    }
    assert_eq!(fake.texts_of_calls(), [1, 16, 4]);
    assert!(life.shutdown(Duration::from_mins(1)).await.is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_text_that_the_model_refuses_fails_alone() {
    let fake = Fake::new(vec![model("mini", ModelTask::Embed, false)]);
    let App { client, .. } = app(Some(&fake)).await;
    let named = |text: &str| json!({"input": [text], "kind": "passage", "model": "mini"});
    let (good, bad) = (named("good"), named("poison"));
    let (good, bad) = tokio::join!(
        client.post("/embeddings", &good),
        client.post("/embeddings", &bad)
    );
    assert_eq!(good.status, 200);
    assert_eq!(bad.problem(), "500 model.compute_failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_left_is_not_computed_for() {
    let fake = held();
    let App {
        client, identity, ..
    } = app(Some(&fake)).await;
    let metrics = identity.metrics.scope("embedding");
    let (first, second) = (query("first"), query("second"));
    let mut first = Box::pin(client.post("/embeddings", &first));
    let mut second = Box::pin(client.post("/embeddings", &second));
    tokio::select! {
        _ = &mut first => unreachable!("the model is held"),
        () = until(|| fake.calls.lock().unwrap().len() == 1) => {}
    }
    tokio::select! {
        _ = &mut second => unreachable!("the model is held"),
        () = until(|| metrics.encode().contains("touchstone_embedding_waiting 1\n")) => {}
    }
    drop(second);
    fake.permits.add_permits(100);
    assert_eq!(first.await.status, 200);
    until(|| {
        metrics
            .encode()
            .contains("touchstone_embedding_waiting 0\n")
    })
    .await;
    assert_eq!(fake.texts_of_calls(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_does_not_wait_for_a_model_past_its_deadline() {
    let fake = held();
    let App { client, .. } = app(Some(&fake)).await;
    let request = |deadline: &str| {
        http::Request::post("/embeddings")
            .header("content-type", "application/json")
            .header("x-deadline-ms", deadline)
            .body(query("text").to_string().into())
            .unwrap()
    };
    let answer = client.send(request("1500")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["degraded"], "dense");
}
