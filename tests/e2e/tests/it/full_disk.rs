//! The file system of a server runs full under uploads: what was accepted stays, and it goes on
//! when there is room again.

use std::time::Instant;

use serde_json::{Value, json};
use touchstone_stack::Service;
use touchstone_test_services::{Exclusive, Kind};

use crate::support::client::PATIENCE;
use crate::support::servers::Own;
use crate::support::{Client, Deployment, Servers};

/// Uploads until the full disk shows, and at most.
const MOST: usize = 2_000;

/// Servers of which the one of `kind` is on a small disk.
async fn servers(kind: Kind) -> Option<Servers> {
    let small = Exclusive::on_small_disk(kind).await?;
    let mut own = Own::start().await?;
    match kind {
        Kind::Postgres => own.postgres = small,
        Kind::Kafka => own.kafka = small,
        _ => own.qdrant = Some(small),
    }
    Some(Servers::of(own))
}

/// One upload of 16 KiB; its id, or the status of the refusal.
async fn upload(user: &Client, number: usize) -> Result<String, u16> {
    let content = format!("Item {number} is on a shelf. ").repeat(600);
    let body = json!({"filename": format!("{number}.txt"), "content": content});
    let answer = user.post("/documents", &body).await;
    match answer.status.as_u16() {
        202 => Ok(answer.body["id"].as_str().unwrap().to_owned()),
        status => Err(status),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_postgres_refuses_in_plain_words_and_keeps_what_it_took() {
    let Some(servers) = servers(Kind::Postgres).await else {
        return;
    };
    let system = Deployment::on(servers.environment()).await;
    let user = Client::register(&system.gateway, "full").await;
    let postgres = &servers.own.as_ref().unwrap().postgres;
    let mut accepted = vec![upload(&user, 0).await.unwrap()];
    postgres.fill().await;
    let mut refused = 0;
    for number in 1..MOST {
        match upload(&user, number).await {
            Ok(id) => accepted.push(id),
            Err(status) => {
                // 507 while it says so itself, 503 and 504 once it has given up.
                assert!([503, 504, 507].contains(&status), "{status}");
                refused += 1;
            }
        }
        if refused == 5 {
            break;
        }
    }
    assert!(refused > 0, "{MOST} uploads went onto a full disk");
    postgres.drain().await;
    // A server that could not write its log has stopped.
    postgres.restart().await;
    let started = Instant::now();
    while upload(&user, MOST).await.is_err() {
        assert!(started.elapsed() < PATIENCE, "it does not go on");
    }
    for id in &accepted {
        user.indexed(id).await;
    }
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_kafka_stops_and_documents_are_taken_and_indexed_all_the_same() {
    let Some(servers) = servers(Kind::Kafka).await else {
        return;
    };
    let system = Deployment::on(servers.environment()).await;
    let user = Client::register(&system.gateway, "full").await;
    let kafka = &servers.own.as_ref().unwrap().kafka;
    let first = upload(&user, 0).await.unwrap();
    user.indexed(&first).await;
    kafka.fill().await;
    let mut number = 0;
    let health = async || -> Value {
        let url = format!("{}/health", system.url(Service::Document));
        reqwest::get(url).await.unwrap().json().await.unwrap()
    };
    loop {
        number += 1;
        assert!(number < MOST, "Kafka does not mind a full disk");
        let id = upload(&user, number).await.unwrap();
        user.indexed(&id).await;
        let told = health().await;
        if told["details"]["relay_backlog"].as_u64() > Some(0) {
            break;
        }
    }
    kafka.drain().await;
    kafka.restart().await;
    let started = Instant::now();
    loop {
        let told = health().await;
        if told["details"]["relay_backlog"] == 0 && told["details"]["kafka_connected"] == true {
            break;
        }
        assert!(started.elapsed() < PATIENCE * 2, "{told}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    system.stop().await;
}

/// A document that is on its way and says what holds it up.
async fn held_up(user: &Client) -> Option<Value> {
    for status in ["chunked", "embedded"] {
        let path = format!("/documents?status={status}&limit=200");
        let page = user.get(&path).await.ok();
        let mut held = page["items"].as_array().unwrap().iter();
        if let Some(document) = held.find(|it| it["failure"]["code"].is_string()) {
            return Some(document.clone());
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_qdrant_makes_documents_wait() {
    let Some(servers) = servers(Kind::Qdrant).await else {
        return;
    };
    let system = Deployment::on(servers.environment()).await;
    let user = Client::register(&system.gateway, "full").await;
    let qdrant = servers.own.as_ref().unwrap().qdrant.as_ref().unwrap();
    let first = upload(&user, 0).await.unwrap();
    user.indexed(&first).await;
    qdrant.fill().await;
    let mut accepted = Vec::new();
    // Qdrant has some room in files that it made before; what it refuses then stays on its way.
    let started = Instant::now();
    let waiting = loop {
        assert!(accepted.len() < MOST, "Qdrant does not mind a full disk");
        accepted.push(upload(&user, accepted.len() + 1).await.unwrap());
        if let Some(document) = held_up(&user).await {
            break document;
        }
        assert!(started.elapsed() < PATIENCE * 2, "nothing waits");
    };
    let code = waiting["failure"]["code"].as_str().unwrap();
    assert_eq!(code, "document.index_unavailable", "{waiting}");
    qdrant.drain().await;
    for id in &accepted {
        user.indexed(id).await;
    }
    system.stop().await;
}
