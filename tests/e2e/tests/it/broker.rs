//! Kafka comes late, goes and comes back: documents are accepted all the while.

use std::time::Instant;

use serde_json::Value;
use touchstone_stack::Service;
use touchstone_test_services::Exclusive;

use crate::support::client::PATIENCE;
use crate::support::deployment::Environment;
use crate::support::{Client, Deployment};

/// What document tells of itself, once it is as expected.
async fn health(system: &Deployment, expected: impl Fn(&Value) -> bool) -> Value {
    let http = reqwest::Client::builder()
        .timeout(PATIENCE)
        .build()
        .unwrap();
    let started = Instant::now();
    loop {
        let url = format!("{}/health", system.url(Service::Document));
        let told: Value = http.get(url).send().await.unwrap().json().await.unwrap();
        if expected(&told) {
            return told;
        }
        assert!(started.elapsed() < PATIENCE, "{told}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_documents_are_accepted_and_it_catches_up_by_itself() {
    let Some(kafka) = Exclusive::kafka().await else {
        return;
    };
    kafka.kill().await;
    let mut environment = Environment::default();
    let brokers = kafka.url().trim_start_matches("kafka://").to_owned();
    environment.all.push(("KAFKA_BROKERS".to_owned(), brokers));
    let system = Deployment::on(environment).await;
    let user = Client::register(&system.gateway, "broker").await;
    let early = user
        .upload("early.txt", "The broker is not there yet.")
        .await;
    // The event waits; the sweep of the table finds the work all the same.
    user.indexed(&early).await;
    let told = health(&system, |told| {
        told["details"]["relay_backlog"].as_u64() > Some(0)
    })
    .await;
    assert_eq!(
        (&told["status"], &told["details"]["kafka_connected"]),
        (&"degraded".into(), &false.into())
    );

    let caught_up = |told: &Value| {
        told["details"]["kafka_connected"] == true && told["details"]["relay_backlog"] == 0
    };
    kafka.restart().await;
    assert_eq!(health(&system, caught_up).await["status"], "healthy");
    let late = user.upload("late.txt", "The broker is there now.").await;
    user.indexed(&late).await;

    kafka.wipe().await;
    let again = user
        .upload("again.txt", "The broker came back empty.")
        .await;
    user.indexed(&again).await;
    health(&system, caught_up).await;
    system.stop().await;
}
