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
    if kind == Kind::Postgres {
        own.postgres = small;
    } else {
        own.kafka = small;
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
