//! The same faults between processes, on PostgreSQL, Redis and Kafka, and on Qdrant where there is one.

use reqwest::Method;
use serde_json::json;
use touchstone_faults::State;
use touchstone_stack::Service;

use super::plane::{KEY, Plane, foretold, http, processes, see};
use super::{events, kinds};
use crate::support::{Client, Deployment, Servers};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_strike_in_the_process_that_they_are_meant_for() {
    let Some(servers) = Servers::shared().await else {
        return;
    };
    let stack = processes(&servers).await;
    kinds::of_requests(&stack).await;
    kinds::of_the_inside(&stack).await;
    kinds::of_caches(&stack).await;
    kinds::of_vectors(&stack).await;
    events::documents_are_indexed_once(&stack).await;
    by_header(&stack).await;
    by_schedule(&stack).await;
    of_calls(&stack).await;
    stack.stop().await;
}

/// The header travels from process to process, with the key only.
async fn by_header(stack: &Deployment) {
    let user = Client::register(&stack.gateway, "travelling").await;
    let (http, token) = (http(), user.token());
    let url = format!("{}/api/v1/documents?limit=3", stack.gateway);
    let asking = |key: &str, fault: &str| {
        let request = http.get(&url).bearer_auth(&token);
        let request = request.header("cache-control", "no-cache");
        request.header("x-fault-key", key).header("x-fault", fault)
    };
    let document = Plane::of(stack, Service::Document);
    let gateway = Plane::of(stack, Service::Gateway);
    let (before, at_gateway) = (document.strikes(0).await, gateway.strikes(0).await);
    let wrong = KEY.replace('5', "6");
    for fault in ["error;status=507;at=document", "error;status=507"] {
        let seen = see(asking(&wrong, fault)).await;
        assert_eq!(seen.status(), 200, "another key: {seen:?}");
    }
    assert_eq!(document.strikes(0).await, before);
    let there = asking(KEY, "slow_database;ms=5;at=document");
    let seen = see(there.header("x-request-id", "travels")).await;
    assert_eq!(seen.status(), 200, "{seen:?}");
    let strikes = document.strikes(0).await;
    let new = &strikes[before.len()..];
    assert!(!new.is_empty(), "the header does not get there");
    let is_mine = |strike: &touchstone_faults::Strike| {
        strike.request_id == "travels" && strike.kind.name() == "slow_database"
    };
    assert!(new.iter().all(is_mine), "{new:?}");
    assert_eq!(gateway.strikes(0).await, at_gateway);
    let there = see(asking(KEY, "error;status=507;at=document")).await;
    assert_eq!(there.status(), 507, "{there:?}");
}

/// A schedule that the gateway hands on begins and ends in the other process.
async fn by_schedule(stack: &Deployment) {
    let user = Client::register(&stack.gateway, "scheduled").await;
    let (http, token) = (http(), user.token());
    let beyond = Plane::of(stack, Service::Gateway).beyond("generation");
    let wanted = json!({
        "seed": 5, "lasting_ms": 600_000, "every_ms": 2_500, "for_ms": 600_000,
        "faults": [{"kind": "error", "status": 418, "path": "/conversations"}],
    });
    let (status, told) = beyond.call(Method::POST, "/schedule", Some(wanted)).await;
    assert_eq!(status, 201, "{told}");
    let ids: Vec<u64> = told["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|own| own["id"].as_u64().unwrap())
        .collect();
    let url = format!("{}/conversations", stack.url(Service::Generation));
    let list = || http.get(&url).bearer_auth(&token);
    let began = std::time::Instant::now();
    while see(list()).await.status() != 418 {
        let waited = began.elapsed();
        assert!(
            waited < crate::support::client::PATIENCE,
            "the schedule does not begin"
        );
    }
    let (_, cleared) = beyond.call(Method::DELETE, "", None).await;
    assert!(
        cleared["cleared"].as_u64().unwrap() >= ids.len() as u64,
        "{cleared}"
    );
    assert_eq!(see(list()).await.status(), 200);
    let direct = Plane::of(stack, Service::Generation);
    let mut struck = 0;
    for id in ids {
        let shown = direct.shown(id).await;
        assert_eq!(shown.state, State::Cleared, "{shown:?}");
        struck += shown.struck;
    }
    assert!(struck > 0);
}

/// Calls from one process to another: what is refused does not arrive, what hangs goes on.
async fn of_calls(stack: &Deployment) {
    let user = Client::register(&stack.gateway, "calling").await;
    let (http, token) = (http(), user.token());
    let (gateway, model) = (
        Plane::of(stack, Service::Gateway),
        Plane::of(stack, Service::Model),
    );
    let url = format!("{}/api/v1/documents?limit=2", stack.gateway);
    let list = || {
        let request = http.get(&url).bearer_auth(&token);
        request.header("cache-control", "no-cache")
    };
    let refuse = json!({
        "kind": "refuse", "side": "client", "callee": "document", "path": "/documents", "share": 0.1,
        "seed": 11,
    });
    let id = gateway.ask(refuse).await;
    while gateway.shown(id).await.matched < 128 {
        // What was never sent is sent again, so that hardly anybody sees it.
        see(list()).await;
    }
    gateway.clear(id).await;
    let shown = foretold(&gateway, id).await;
    assert!(shown.struck >= 12, "{shown:?}");
    let url = format!("{}/models", stack.url(Service::Model));
    let hang = json!({"kind": "hang", "path": "/models", "share": 0.25, "seed": 12});
    let id = model.ask(hang).await;
    let asked = (0..64).map(|_| see(http.get(&url).bearer_auth(&token)));
    let freeing = async {
        model.struck(id, 16).await;
        model.clear(id).await
    };
    let (seen, cleared) = tokio::join!(futures_util::future::join_all(asked), freeing);
    assert!(seen.iter().all(|seen| seen.status() == 200), "{seen:?}");
    assert_eq!(
        seen.iter().filter(|seen| seen.says_struck("hang")).count(),
        16
    );
    assert_eq!((cleared.matched, cleared.struck), (64, 16));
    foretold(&model, id).await;
}
