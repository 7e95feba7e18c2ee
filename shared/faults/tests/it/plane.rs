//! Shares, ends, counts and keys.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value, json};
use touchstone_config::Secret;
use touchstone_faults::{FAULT, KEY, PATH, Plane, STRUCK, is_struck};
use touchstone_telemetry::Metrics;
use touchstone_types::{IdSource, SystemClock};
use tower::ServiceExt;

use crate::{SECRET, sample};

/// Status, whether the answer says that it was struck, and its JSON.
async fn send(router: &Router, request: Request<Body>) -> (u16, bool, Value) {
    let answer = router.clone().oneshot(request).await.unwrap();
    let (status, struck) = (answer.status(), answer.headers().contains_key(STRUCK));
    let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let told = serde_json::from_slice(&body).unwrap_or_default();
    (status.as_u16(), struck, told)
}

async fn call(
    router: &Router,
    key: Option<&str>,
    method: &str,
    path: &str,
    body: &Value,
) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(key) = key {
        request = request.header(KEY, key);
    }
    let request = request.body(Body::from(body.to_string())).unwrap();
    let (status, _, told) = send(router, request).await;
    (status, told)
}

async fn ask(router: &Router, spec: Value) -> String {
    let (status, told) = call(router, Some(SECRET), "POST", PATH, &spec).await;
    assert_eq!(status, 201, "{told}");
    format!("{PATH}/{}", told["id"])
}

async fn look(router: &Router, path: &str) -> Value {
    call(router, Some(SECRET), "GET", path, &Value::Null)
        .await
        .1
}

/// The status of a request without any key, and whether it was struck.
async fn plain(router: &Router) -> (u16, bool) {
    let request = Request::get("/x").body(Body::empty()).unwrap();
    let (status, struck, _) = send(router, request).await;
    (status, struck)
}

#[tokio::test]
async fn the_share_is_struck_and_counted_and_nobody_else() {
    let metrics = Metrics::new();
    let router = sample(&metrics);
    let spec = json!({"kind": "error", "status": 507, "share": 0.25, "seed": 3});
    let fault = ask(&router, spec).await;
    for number in 0..128 {
        let expected = if is_struck(3, 0.25, number) {
            (507, true)
        } else {
            (200, false)
        };
        assert_eq!(plain(&router).await, expected, "{number}");
    }
    let shown = look(&router, &fault).await;
    assert_eq!(
        (&shown["matched"], &shown["struck"]),
        (&json!(128), &json!(32))
    );
    let page = look(&router, &format!("{PATH}/log")).await;
    let logged: Vec<u64> = page["strikes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|strike| strike["number"].as_u64().unwrap())
        .collect();
    let foretold: Vec<u64> = (0..128).filter(|n| is_struck(3, 0.25, *n)).collect();
    assert_eq!(logged, foretold);
    let line = "touchstone_sample_faults_struck_total{kind=\"error\",side=\"server\"} 32";
    let text = metrics.scope("sample").encode();
    assert!(text.contains(line), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_fault_begins_and_ends_in_time_or_when_it_is_taken_back() {
    let router = sample(&Metrics::new());
    let spec = json!({"kind": "error", "after_ms": 1_000, "for_ms": 2_000});
    let timed = ask(&router, spec).await;
    let state = async || look(&router, &timed).await["state"].clone();
    assert_eq!(
        (plain(&router).await.0, state().await),
        (200, json!("waiting"))
    );
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(
        (plain(&router).await.0, state().await),
        (500, json!("active"))
    );
    tokio::time::advance(Duration::from_millis(1_999)).await;
    assert_eq!(plain(&router).await.0, 500);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(
        (plain(&router).await.0, state().await),
        (200, json!("over"))
    );
    let lasting = ask(&router, json!({"kind": "rate_limit"})).await;
    assert_eq!(plain(&router).await, (429, true));
    let cleared = call(&router, Some(SECRET), "DELETE", &lasting, &Value::Null).await;
    assert_eq!((cleared.0, &cleared.1["state"]), (200, &json!("cleared")));
    assert_eq!(plain(&router).await, (200, false));
    // What hangs goes on when its fault is over, and not before.
    ask(&router, json!({"kind": "hang", "for_ms": 5_000})).await;
    let began = tokio::time::Instant::now();
    assert_eq!(plain(&router).await, (200, true));
    assert_eq!(began.elapsed(), Duration::from_secs(5));
}

#[tokio::test]
async fn whoever_does_not_show_the_key_asks_in_vain() {
    let router = sample(&Metrics::new());
    let almost = format!("{}5", &SECRET[..SECRET.len() - 1]);
    let longer = format!("{SECRET}0");
    let wrong = [None, Some(""), Some(almost.as_str()), Some(longer.as_str())];
    for key in wrong {
        for (method, path) in [("GET", PATH), ("POST", PATH), ("DELETE", PATH)] {
            let spec = json!({"kind": "error"});
            let (status, told) = call(&router, key, method, path, &spec).await;
            assert_eq!(
                (status, &told["code"]),
                (401, &json!("fault.key")),
                "{key:?}"
            );
        }
        let mut request = Request::get("/x").header(FAULT, "error; status=507");
        if let Some(key) = key {
            request = request.header(KEY, key);
        }
        let (status, struck, _) = send(&router, request.body(Body::empty()).unwrap()).await;
        assert_eq!((status, struck), (200, false), "{key:?}");
    }
    let request = Request::get("/x").header(FAULT, "error; status=507");
    let request = request.header(KEY, SECRET).body(Body::empty()).unwrap();
    let (status, struck, _) = send(&router, request).await;
    assert_eq!((status, struck), (507, true));
    assert_eq!(look(&router, PATH).await["faults"], json!([]));
}

#[test]
fn without_a_key_there_is_no_plane() {
    let clock = Arc::new(SystemClock);
    let none = Secret::from("");
    assert!(Plane::new(&none, 1, IdSource::system(), clock, &Metrics::new()).is_none());
}
