//! How faults are switched: by key only, by API, header and schedule, through the gateway as well.

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use touchstone_faults::{Side, State, Strike};
use touchstone_stack::Service;

use super::plane::{KEY, Plane, http, see, stack};
use crate::support::client::PATIENCE;
use crate::support::{Client, Deployment};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_there_is_nothing_to_ask_and_headers_do_nothing() {
    let stack = Deployment::with(|loader| loader).await;
    let http = http();
    for service in Service::ALL {
        let url = format!("{}/admin/faults", stack.url(service));
        let asked = http
            .post(url)
            .header("x-fault-key", KEY)
            .json(&json!({"kind": "delay"}));
        assert_eq!(see(asked).await.status(), 404, "{service}");
        let url = format!("{}/health", stack.url(service));
        let asked = http
            .get(url)
            .header("x-fault-key", KEY)
            .header("x-fault", "error;status=507");
        let seen = see(asked).await;
        assert!(
            seen.status() == 200 && !seen.says_struck("error"),
            "{service}: {seen:?}"
        );
    }
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_key_switches_faults_on_every_service() {
    let stack = stack().await;
    let http = http();
    for service in Service::ALL {
        let url = format!("{}/admin/faults", stack.url(service));
        let spec = json!({"kind": "error", "status": 418, "path": "/nowhere"});
        for key in [
            None,
            Some(""),
            Some("5f0c3f9e2b7d4a61908e7c6d5b4a39281706f5e5"),
        ] {
            let asked = http.post(&url).json(&spec);
            let asked = match key {
                Some(key) => asked.header("x-fault-key", key),
                None => asked,
            };
            assert_eq!(see(asked).await.status(), 401, "{service} {key:?}");
        }
        let plane = Plane::of(&stack, service);
        assert_eq!(plane.overview().await.faults, vec![], "{service}");
        let id = plane.ask(spec).await;
        let elsewhere = http.get(format!("{}/elsewhere", stack.url(service)));
        let nowhere = || http.get(format!("{}/nowhere", stack.url(service)));
        assert_eq!(see(nowhere()).await.status(), 418, "{service}");
        assert_eq!(see(elsewhere).await.status(), 404, "{service}");
        let cleared = plane.clear(id).await;
        assert_eq!(
            (cleared.state, cleared.struck),
            (State::Cleared, 1),
            "{service}"
        );
        assert_eq!(see(nowhere()).await.status(), 404, "{service}");
        let shown = plane.overview().await;
        assert_eq!(
            (shown.service.as_str(), shown.faults.len()),
            (service.name(), 1)
        );
    }
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_shows_the_key_is_struck_where_it_says_and_no_other_is() {
    let stack = stack().await;
    let user = Client::register(&stack.gateway, "asking").await;
    let (http, token) = (http(), user.token());
    let url = format!("{}/api/v1/documents?limit=3", stack.gateway);
    let list = || http.get(&url).bearer_auth(&token);
    let document = Plane::of(&stack, Service::Document);
    let asking = |fault: &str| list().header("x-fault", fault);
    assert_eq!(see(list()).await.status(), 200);

    let ignored = see(asking("error;status=507")).await;
    assert_eq!(ignored.status(), 200, "without the key: {ignored:?}");
    let here = asking("error;status=507").header("x-fault-key", KEY);
    assert_eq!(
        see(here.header("x-request-id", "at-the-gateway"))
            .await
            .status(),
        507
    );
    let there = || {
        asking("error;status=507;at=document")
            .header("x-fault-key", KEY)
            // What is kept would not get there.
            .header("cache-control", "no-cache")
    };
    let seen = see(there().header("x-request-id", "at-document")).await;
    assert_eq!(seen.status(), 507, "{seen:?}");
    let strikes = document.strikes(0).await;
    let ids: Vec<_> = strikes.iter().map(|strike| &*strike.request_id).collect();
    assert!(
        !ids.is_empty() && ids.iter().all(|id| *id == "at-document"),
        "{ids:?}"
    );
    let gateway = Plane::of(&stack, Service::Gateway);
    let strikes = gateway.strikes(0).await;
    let ids: Vec<_> = strikes.iter().map(|strike| &*strike.request_id).collect();
    assert_eq!(ids, ["at-the-gateway"]);

    let wrong = asking("explode").header("x-fault-key", KEY);
    assert_eq!(see(wrong).await.status(), 400);
    assert_eq!(see(list()).await.status(), 200);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_the_gateway_fail_as_asked_and_its_port_switches_the_faults_of_others() {
    let stack = stack().await;
    let user = Client::register(&stack.gateway, "calls").await;
    let (http, token) = (http(), user.token());
    let gateway = Plane::of(&stack, Service::Gateway);
    let url = format!("{}/api/v1/conversations", stack.gateway);
    let list = || {
        let request = http.get(&url).bearer_auth(&token);
        request.header("cache-control", "no-cache")
    };
    for kind in ["refuse", "reset", "error"] {
        // What failed before may have opened the breaker.
        until_answered(list).await;
        let id = gateway
            .ask(json!({
                "kind": kind, "side": "client", "callee": "generation", "path": "/conversations",
            }))
            .await;
        let seen = see(list().header("x-request-id", kind)).await;
        assert!(seen.status() >= 500, "{kind}: {seen:?}");
        assert!(gateway.clear(id).await.struck >= 1, "{kind}");
        let strikes = gateway.strikes(id).await;
        let mine = |strike: &Strike| strike.request_id == kind && strike.side == Side::Client;
        assert!(strikes.iter().all(mine), "{strikes:?}");
    }
    until_answered(list).await;
    let beyond = gateway.beyond("generation");
    let direct = Plane::of(&stack, Service::Generation);
    let id = beyond
        .ask(json!({"kind": "delay", "ms": 1, "path": "/conversations"}))
        .await;
    assert_eq!(direct.shown(id).await, beyond.shown(id).await);
    assert_eq!(beyond.overview().await.service, "generation");
    assert_eq!(beyond.clear(id).await.state, State::Cleared);
    let (status, told) = gateway.beyond("nobody").call(Method::GET, "", None).await;
    assert_eq!(
        (status, &told["code"]),
        (404, &json!("fault.unknown_service"))
    );
    stack.stop().await;
}

/// Asks until the answer is the usual one.
async fn until_answered(request: impl Fn() -> RequestBuilder) {
    let began = Instant::now();
    while see(request()).await.status() != 200 {
        assert!(began.elapsed() < PATIENCE, "it does not get well again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hangs_goes_on_when_the_fault_is_taken_back() {
    let stack = stack().await;
    let user = Client::register(&stack.gateway, "hanging").await;
    let (http, token) = (http(), user.token());
    let document = Plane::of(&stack, Service::Document);
    let url = format!("{}/documents", stack.url(Service::Document));
    let id = document.ask(json!({"kind": "hang"})).await;
    let hanging = see(http.get(&url).bearer_auth(&token));
    let freeing = async {
        document.struck(id, 1).await;
        document.clear(id).await
    };
    let (seen, cleared) = tokio::join!(hanging, freeing);
    assert_eq!(seen.status(), 200, "{seen:?}");
    let (first, until) = (cleared.first_ms.unwrap(), cleared.until_ms.unwrap());
    assert!(first <= until && cleared.struck == 1);
    // Operations are spared, unless they are named.
    let id = document
        .ask(json!({"kind": "hang", "for_ms": 600_000}))
        .await;
    let health = http.get(format!("{}/health", stack.url(Service::Document)));
    assert_eq!(see(health).await.status(), 200);
    assert_eq!(document.clear(id).await.matched, 0);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_repeat_by_seed_and_what_cannot_be_is_refused() {
    let stack = stack().await;
    let (auth, model) = (
        Plane::of(&stack, Service::Auth),
        Plane::of(&stack, Service::Model),
    );
    let wanted = |seed: u64| {
        json!({
            "seed": seed, "lasting_ms": 60_000, "every_ms": 3_000, "for_ms": 500,
            "faults": [{"kind": "delay", "ms": 10}, {"kind": "error", "share": 0.5}],
        })
    };
    let draw = async |plane: &Plane, seed| {
        let (status, told) = plane
            .call(Method::POST, "/schedule", Some(wanted(seed)))
            .await;
        assert_eq!(status, 201, "{told}");
        let faults = told["faults"].as_array().unwrap();
        let specs: Vec<Value> = faults.iter().map(|fault| fault["spec"].clone()).collect();
        (told["digest"].clone(), specs)
    };
    let first = draw(&auth, 3).await;
    assert_eq!(first, draw(&model, 3).await);
    assert_ne!(first.0, draw(&model, 4).await.0);
    assert_eq!(auth.overview().await.faults.len(), first.1.len());
    let (_, cleared) = auth.call(Method::DELETE, "", None).await;
    assert_eq!(cleared["cleared"], first.1.len());
    let states: Vec<_> = auth
        .overview()
        .await
        .faults
        .into_iter()
        .map(|f| f.state)
        .collect();
    assert!(
        states
            .iter()
            .all(|state| matches!(state, State::Cleared | State::Over))
    );

    for (body, status, code) in [
        (json!({"kind": "explode"}), 400, "fault.body"),
        (json!({"kind": "delay", "shares": 1}), 400, "fault.body"),
        (
            json!({"kind": "delay", "share": 2}),
            422,
            "fault.impossible",
        ),
        (json!({"kind": "refuse"}), 422, "fault.impossible"),
    ] {
        let (got, told) = auth.call(Method::POST, "", Some(body.clone())).await;
        assert_eq!((got, &told["code"]), (status, &json!(code)), "{body}");
    }
    let (status, told) = auth.call(Method::GET, "/999", None).await;
    assert_eq!((status, &told["code"]), (404, &json!("fault.unknown")));
    let (status, _) = auth.call(Method::GET, "/log?before=3", None).await;
    assert_eq!(status, 400);
    stack.stop().await;
}
