//! The ledger: whatever a policy refused, repeated, or answered poorly stands in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::IntoResponse;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use touchstone_error::ErrorKind;
use touchstone_testing::Answer;
use touchstone_web::Problem;

use crate::support::{Mode, PATIENCE, Stack, over_both_transports};

over_both_transports!(
    every_refusal_and_every_retry_stands_in_the_ledger_with_its_request,
    a_poorer_answer_stands_in_the_ledger,
);

/// The decision of `policy` about this request: action, target, state, and whether it says until
/// when it holds.
async fn decision(stack: &Stack, policy: &str, answer: &Answer) -> (String, String, String, bool) {
    let path = format!("/admin/decisions?limit=1000&policy={policy}");
    let told: Value = stack.operator().get(&path).await.json();
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let items = told["items"].as_array().unwrap();
    let of = items.iter().find(|item| item["request_id"] == id);
    let item = of.unwrap_or_else(|| panic!("no {policy} for {id}: {told}"));
    assert!(
        item["time"].is_string() && item["number"].is_u64(),
        "{item}"
    );
    let text = |name: &str| item[name].as_str().unwrap().to_owned();
    let until = item["until"].is_string();
    (text("action"), text("target"), text("state"), until)
}

fn busy() -> axum::response::Response {
    Problem::new(ErrorKind::Unavailable, "test.busy", "later").into_response()
}

/// As the path says; whoever waits does so until there are permits.
fn service(gate: &Arc<Semaphore>) -> Router {
    let (gate, calls) = (Arc::clone(gate), Arc::new(AtomicUsize::new(0)));
    Router::new().fallback(move |request: Request| {
        let (gate, calls) = (Arc::clone(&gate), Arc::clone(&calls));
        async move {
            let path = request.uri().path();
            if path.contains("waits") {
                gate.acquire().await.unwrap().forget();
            }
            let shaky = path.contains("shaky") && calls.fetch_add(1, Ordering::AcqRel) == 0;
            if shaky || path.contains("busy") {
                return busy();
            }
            "whole".into_response()
        }
    })
}

async fn every_refusal_and_every_retry_stands_in_the_ledger_with_its_request(mode: Mode) {
    let gate = Arc::new(Semaphore::new(0));
    let names = ["auth", "document", "retrieval", "telegram"];
    let services = names.map(|name| (name, service(&gate)));
    let stack = Stack::with(mode, services, |config| {
        config.upstreams.places = 1;
        config.upstreams.queue = 0;
        config.upstreams.adaptive = 0;
        config.upstreams.open_for = Duration::from_mins(10);
        config.classes.search.deadline = Duration::from_millis(50);
        config.websocket.connections = 0;
    })
    .await;
    let client = stack.client();

    let retried = client.get("/channels/shaky").await;
    assert_eq!(retried.status, StatusCode::OK);
    let (action, target, ..) = decision(&stack, "retry", &retried).await;
    assert_eq!((action.as_str(), target.as_str()), ("retried", "telegram"));

    // A request that takes the one place, and one that finds none.
    let (held, shed) = tokio::join!(client.get("/documents/waits"), async {
        let taken = async {
            loop {
                let shed = client.get("/documents/1").await;
                if shed.status == StatusCode::SERVICE_UNAVAILABLE {
                    return shed;
                }
            }
        };
        let shed = tokio::time::timeout(PATIENCE, taken).await.unwrap();
        gate.add_permits(1);
        shed
    });
    assert_eq!(held.text(), "whole");
    let (action, target, state, _) = decision(&stack, "bulkhead", &shed).await;
    assert_eq!((action.as_str(), target.as_str()), ("shed", "document"));
    assert!(state.contains("1 of 1"), "{state}");

    let late = client.post("/search/waits", &json!({})).await;
    assert_eq!(late.problem(), "504 request.deadline");
    let decisions = stack
        .operator()
        .get("/admin/decisions?policy=deadline")
        .await;
    let decisions: Value = decisions.json();
    assert_eq!(
        (
            &decisions["items"][0]["action"],
            &decisions["items"][0]["target"]
        ),
        (&json!("expired"), &json!("retrieval"))
    );

    let mut refused = client.get("/auth/busy").await;
    for _ in 0..20 {
        refused = client.get("/auth/busy").await;
    }
    assert_eq!(refused.problem(), "503 gateway.breaker_open");
    let (action, target, _, until) = decision(&stack, "breaker", &refused).await;
    assert_eq!((action.as_str(), target.as_str()), ("rejected", "auth"));
    assert!(until, "until when is not said");
    let gave_up: Value = stack
        .operator()
        .get("/admin/decisions?policy=retry")
        .await
        .json();
    assert!(gave_up.to_string().contains("gave_up"), "{gave_up}");

    let socket = Request::get("/channels/live")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .body(Body::empty())
        .unwrap();
    let socket = client.send(socket).await;
    assert_eq!(socket.problem(), "503 gateway.too_many_websockets");
    let (action, target, state, _) = decision(&stack, "websocket.places", &socket).await;
    assert_eq!((action.as_str(), target.as_str()), ("shed", "telegram"));
    assert!(state.contains("0 of 0"), "{state}");
    stack.stop().await;
}

#[tokio::test]
async fn denials_of_addresses_and_callers_stand_in_the_ledger_each_with_its_own() {
    let gate = Arc::new(Semaphore::new(0));
    let services = [("document", service(&gate)), ("auth", service(&gate))];
    let stack = Stack::with(Mode::InProcess, services, |config| {
        let limits = &mut config.quota.limits;
        "standard".clone_into(&mut limits.plan);
        let standard = limits.plans.get_mut("standard").unwrap();
        (standard.minute, standard.hour, standard.day) = (0, 0, 1);
        (limits.address.per_second, limits.address.burst) = (1, 10);
    })
    .await;
    let client = stack.client();
    client.get("/documents/1").await;
    let denied = client.get("/documents/1").await;
    assert_eq!(denied.problem(), "429 gateway.quota_exceeded");
    let flood = async {
        loop {
            let answer = stack.anonymous().get("/documents/1").await;
            if answer.status == StatusCode::TOO_MANY_REQUESTS {
                return answer;
            }
            assert_eq!(answer.problem(), "401 auth.missing_credential");
        }
    };
    let flooded = tokio::time::timeout(PATIENCE, flood).await.unwrap();
    assert_eq!(flooded.problem(), "429 gateway.quota_exceeded");
    let own = stack.anonymous().get("/api/v1/config").await;
    assert_eq!(own.problem(), "429 gateway.quota_exceeded");
    for (policy, answer) in [
        ("quota.subject", &denied),
        ("quota.address", &flooded),
        ("quota.address", &own),
    ] {
        let (action, target, _, until) = decision(&stack, policy, answer).await;
        assert_eq!((action.as_str(), until), ("denied", true), "{policy}");
        let caller = stack.caller.user.to_string();
        assert_eq!(
            target.contains(&caller),
            policy == "quota.subject",
            "{target}"
        );
    }
    stack.stop().await;
}

async fn a_poorer_answer_stands_in_the_ledger(mode: Mode) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let document = Router::new().fallback(move || {
        let first = count.fetch_add(1, Ordering::AcqRel) == 0;
        async move {
            if first {
                return "whole".into_response();
            }
            Problem::new(ErrorKind::Internal, "test.broken", "no").into_response()
        }
    });
    let stack = Stack::start(mode, [("document", document)]).await;
    assert_eq!(
        stack.client().get("/documents/1").await.status,
        StatusCode::OK
    );
    let stale = stack.client().get("/documents/1").await;
    assert!(stale.headers.contains_key("degraded"));
    let (action, target, state, _) = decision(&stack, "degraded", &stale).await;
    assert_eq!(
        (action.as_str(), target.as_str(), state.as_str()),
        ("degraded", "document", "stale_read")
    );
    stack.stop().await;
}
