//! Every kind, over TCP against real services: what the client saw is what the log tells and the seed
//! foretells.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use touchstone_stack::Service;

use super::plane::{Plane, Seen, http, prove, see, stack};
use crate::support::{Client, Deployment};

/// Requests per kind: three blocks and a bit.
const REQUESTS: u64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strikes_requests_strikes_those_that_the_log_names() {
    let stack = stack().await;
    of_requests(&stack).await;
    stack.stop().await;
}

/// What strikes requests at their server.
pub async fn of_requests(stack: &Deployment) {
    let user = Client::register(&stack.gateway, "struck")
        .await
        .with_api_key()
        .await;
    let text = "Faults are asked for, and prove that they fired. ".repeat(20);
    let id = user.upload("proof.txt", &text).await;
    user.indexed(&id).await;
    let document = Plane::of(stack, Service::Document);
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strikes_deeper_inside_strikes_the_requests_that_get_there() {
    let stack = stack().await;
    of_the_inside(&stack).await;
    of_caches(&stack).await;
    of_vectors(&stack).await;
    stack.stop().await;
}

/// What strikes the clock and the database of requests.
pub async fn of_the_inside(stack: &Deployment) {
    let user = Client::register(&stack.gateway, "inside").await;
    let (http, token) = (http(), user.token());
    // An access token, whose time is looked at.
    let url = format!("{}/documents", stack.url(Service::Document));
    let list = || http.get(&url).bearer_auth(&token);
    let document = Plane::of(stack, Service::Document);
    let spec = json!({"kind": "clock", "ms": 24 * 60 * 60 * 1000});
    prove(&document, spec, REQUESTS, list, |seen| seen.status() == 401).await;
    for kind in ["slow_database", "no_connections"] {
        let spec = json!({"kind": kind, "ms": 10});
        prove(&document, spec, REQUESTS, list, |seen| {
            let struck = seen.says_struck(kind);
            let late = |took: Duration| took >= Duration::from_millis(10);
            assert!(!struck || matches!(seen, Seen::Answer { took, .. } if late(*took)));
            struck
        })
        .await;
    }
    // Each one that is struck waits as long as a connection is waited for.
    let spec = json!({"kind": "no_connections", "share": 1.0, "ms": 60_000});
    let id = document.ask(spec).await;
    let seen = see(list().header("x-request-id", "in-vain")).await;
    assert_eq!(seen.status(), 503, "{seen:?}");
    document.clear(id).await;
    let strikes = document.strikes(id).await;
    assert_eq!((strikes.len(), &*strikes[0].request_id), (1, "in-vain"));
    assert_eq!(see(list()).await.status(), 200);
}

/// What is kept is not found: the gateway asks anew, and statistics are collected anew.
pub async fn of_caches(stack: &Deployment) {
    let user = Client::register(&stack.gateway, "kept").await;
    let (http, token) = (http(), user.token());
    let url = format!("{}/api/v1/search", stack.gateway);
    let query = json!({"query": "what is kept"});
    let search = || http.post(&url).bearer_auth(&token).json(&query);
    let gateway = Plane::of(stack, Service::Gateway);
    let found = Cell::new(0);
    let spec = json!({"kind": "cache_loss", "path": "/api/v1/search"});
    prove(&gateway, spec, REQUESTS, search, |seen| {
        let struck = seen.says_struck("cache_loss");
        assert!(!struck || !seen.is_kept(), "{seen:?}");
        found.set(found.get() + u64::from(seen.is_kept()));
        struck
    })
    .await;
    assert!(found.get() > 0, "nothing was kept at all");
    let analytics = Plane::of(stack, Service::Analytics);
    let url = format!("{}/stats", stack.url(Service::Analytics));
    let count = || http.get(&url).bearer_auth(&token);
    let collected = |seen: &Seen| {
        let told: Value = serde_json::from_slice(seen.body()).unwrap();
        told["until"].as_str().unwrap().to_owned()
    };
    let latest = RefCell::new(collected(&see(count()).await));
    let spec = json!({"kind": "cache_loss", "path": "/stats"});
    prove(&analytics, spec, REQUESTS, count, |seen| {
        // Collected at the moment of the request, not before.
        let (struck, before) = (
            seen.says_struck("cache_loss"),
            latest.replace(collected(seen)),
        );
        assert!(!struck || *latest.borrow() > before, "{seen:?}");
        struck
    })
    .await;
}

/// What was written lately is not found by those whom that strikes; what is older is.
pub async fn of_vectors(stack: &Deployment) {
    let user = Client::register(&stack.gateway, "behind").await;
    let (http, token) = (http(), user.token());
    let vector = Plane::of(stack, Service::Vector);
    let base = format!("{}/collections/behind", stack.url(Service::Vector));
    let send = async |request: RequestBuilder, body: Value| {
        let seen = see(request.bearer_auth(&token).json(&body)).await;
        assert!((200..300).contains(&seen.status()), "{seen:?}");
    };
    send(http.put(&base), json!({"sparse": ["bm25"]})).await;
    let signal = json!({"indices": [1], "values": [1.0]});
    let point = json!({
        "id": "0190f3a0-0000-7000-8000-000000000001",
        "payload": {
            "document_id": "0190f3a0-0000-7000-8000-000000000002", "version": 1, "ordinal": 0,
            "start": 0, "end": 4, "text": "here", "title": "", "language": "en",
            "source": "upload", "created_at": "2026-01-01T00:00:00Z",
        },
        "sparse": {"bm25": signal},
    });
    send(
        http.post(format!("{base}/points")),
        json!({"points": [point]}),
    )
    .await;
    let query = json!({
        "queries": [{"sparse": {"name": "bm25", "vector": signal}}], "limit": 1, "with_payload": true,
    });
    let url = format!("{base}/query");
    let ask = || http.post(&url).bearer_auth(&token).json(&query);
    let finds = |seen: &Seen| {
        let found: Value = serde_json::from_slice(seen.body()).unwrap();
        let count = found["results"][0].as_array().unwrap().len();
        assert_eq!(
            found["payloads"]
                .as_object()
                .map_or(0, serde_json::Map::len),
            count
        );
        count == 1
    };
    let spec = json!({"kind": "stale_vectors", "ms": 600_000, "path": "/collections"});
    prove(&vector, spec, REQUESTS, ask, |seen| {
        assert_eq!(finds(seen), !seen.says_struck("stale_vectors"), "{seen:?}");
        seen.says_struck("stale_vectors")
    })
    .await;
    // Written before the time that it is behind.
    let spec = json!({"kind": "stale_vectors", "ms": 0, "path": "/collections"});
    prove(&vector, spec, 64, ask, |seen| {
        assert!(finds(seen), "{seen:?}");
        seen.says_struck("stale_vectors")
    })
    .await;
}
