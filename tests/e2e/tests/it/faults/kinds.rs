//! Every kind, over TCP against real services: what the client saw is what the log tells and the seed
//! foretells.

use std::time::Duration;

use serde_json::json;
use touchstone_stack::Service;

use super::plane::{Plane, Seen, http, prove, see, stack};
use crate::support::Client;

/// Requests per kind: three blocks and a bit.
const REQUESTS: u64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strikes_requests_strikes_those_that_the_log_names() {
    let stack = stack().await;
    let user = Client::register(&stack.gateway, "struck")
        .await
        .with_api_key()
        .await;
    let text = "Faults are asked for, and prove that they fired. ".repeat(20);
    let id = user.upload("proof.txt", &text).await;
    user.indexed(&id).await;
    let document = Plane::of(&stack, Service::Document);
    let (http, url) = (
        http(),
        format!("{}/documents", stack.url(Service::Document)),
    );
    let token = user.token();
    let list = || http.get(&url).bearer_auth(&token);
    let Seen::Answer {
        status,
        body: whole,
        ..
    } = see(list()).await
    else {
        panic!("no answer");
    };
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&whole));

    let took_at_least = |seen: &Seen, least: u64| matches!(seen, Seen::Answer { took, .. } if *took >= Duration::from_millis(least));
    let spec = json!({"kind": "delay", "ms": 20, "jitter_ms": 5});
    prove(&document, spec, REQUESTS, list, |seen| {
        let struck = seen.says_struck("delay");
        assert!(!struck || took_at_least(seen, 20));
        struck
    })
    .await;
    let spec = json!({"kind": "error", "status": 507});
    prove(&document, spec, REQUESTS, list, |seen| seen.status() == 507).await;
    let spec = json!({"kind": "rate_limit", "retry_after": 3});
    prove(&document, spec, REQUESTS, list, |seen| {
        matches!(seen, Seen::Answer { status, retry_after, .. }
            if *status == 429 && retry_after.as_deref() == Some("3"))
    })
    .await;
    let spec = json!({"kind": "token_storm"});
    prove(&document, spec, REQUESTS, list, |seen| seen.status() == 401).await;
    for kind in ["reset", "lose_answer"] {
        let spec = json!({ "kind": kind });
        prove(&document, spec, REQUESTS, list, |seen| {
            matches!(seen, Seen::NoAnswer)
        })
        .await;
    }
    let spec = json!({"kind": "cut", "bytes": 7});
    prove(&document, spec, REQUESTS, list, |seen| {
        matches!(seen, Seen::BrokenBody)
    })
    .await;
    let spec = json!({"kind": "wrong_type"});
    prove(&document, spec, REQUESTS, list, |seen| {
        matches!(seen, Seen::Answer { content_type, .. } if content_type.starts_with("text/html"))
    })
    .await;
    let spec = json!({"kind": "corrupt"});
    prove(&document, spec, REQUESTS, list, |seen| {
        let Seen::Answer { body, .. } = seen else {
            panic!("{seen:?}");
        };
        let pairs = whole.iter().zip(body);
        let turned: u32 = pairs.map(|(right, got)| (right ^ got).count_ones()).sum();
        assert!(body.len() == whole.len() && turned <= 1);
        turned == 1
    })
    .await;
    let spec = json!({"kind": "drip", "bytes": 64, "ms": 1});
    prove(&document, spec, REQUESTS, list, |seen| {
        let struck = seen.says_struck("drip");
        let Seen::Answer { body, .. } = seen else {
            panic!("{seen:?}");
        };
        assert_eq!(*body, whole, "it is the same body");
        assert!(!struck || took_at_least(seen, whole.len() as u64 / 64));
        struck
    })
    .await;
    let spec = json!({"kind": "cpu", "ms": 2});
    prove(&document, spec, REQUESTS, list, |seen| {
        let struck = seen.says_struck("cpu");
        assert!(!struck || took_at_least(seen, 2));
        struck
    })
    .await;
    let spec = json!({"kind": "memory", "bytes": 1_000_000});
    prove(&document, spec, REQUESTS, list, |seen| {
        seen.says_struck("memory")
    })
    .await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strikes_deeper_inside_strikes_the_requests_that_get_there() {
    let stack = stack().await;
    let user = Client::register(&stack.gateway, "inside").await;
    let (http, token) = (http(), user.token());
    // An access token, whose time is looked at.
    let url = format!("{}/documents", stack.url(Service::Document));
    let list = || http.get(&url).bearer_auth(&token);
    let document = Plane::of(&stack, Service::Document);
    let spec = json!({"kind": "clock", "ms": 24 * 60 * 60 * 1000});
    prove(&document, spec, REQUESTS, list, |seen| seen.status() == 401).await;
    let spec = json!({"kind": "slow_database", "ms": 10});
    prove(&document, spec, REQUESTS, list, |seen| {
        let struck = seen.says_struck("slow_database");
        let late = |took: Duration| took >= Duration::from_millis(10);
        assert!(!struck || matches!(seen, Seen::Answer { took, .. } if late(*took)));
        struck
    })
    .await;
    // Each one that is struck waits as long as a connection is waited for.
    let spec = json!({"kind": "no_connections", "share": 1.0, "ms": 60_000});
    let id = document.ask(spec).await;
    let seen = see(list().header("x-request-id", "in-vain")).await;
    assert_eq!(seen.status(), 503, "{seen:?}");
    document.clear(id).await;
    let strikes = document.strikes(id).await;
    assert_eq!((strikes.len(), &*strikes[0].request_id), (1, "in-vain"));
    assert_eq!(see(list()).await.status(), 200);
    stack.stop().await;
}
