//! What is asked deep inside of a service: whether a cache is lost, how far vectors are behind.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::routing::get;
use serde_json::{Value, json};
use touchstone_config::Secret;
use touchstone_faults::{FAULT, KEY, PATH, Plane, cache_is_lost, is_struck, vectors_are_behind};
use touchstone_telemetry::Metrics;
use touchstone_types::{IdSource, SystemClock};
use tower::ServiceExt;

use crate::SECRET;

/// Looks several times, as a request does that needs more than one thing of a cache.
async fn looks() -> String {
    let mut looks = Vec::new();
    for _ in 0..3 {
        looks.push(cache_is_lost());
        tokio::task::yield_now().await;
    }
    let behind = vectors_are_behind().map(|behind| behind.as_millis());
    json!({ "lost": looks, "behind": behind }).to_string()
}

/// The same at each look.
fn thrice(lost: bool) -> Value {
    json!([lost, lost, lost])
}

struct Service {
    plane: Plane,
    router: Router,
    metrics: Metrics,
}

impl Service {
    fn new() -> Self {
        let (key, clock, metrics) = (Secret::from(SECRET), Arc::new(SystemClock), Metrics::new());
        let plane = Plane::new(&key, 1, IdSource::system(), clock, &metrics).unwrap();
        let routes = Router::new()
            .route("/x", get(looks))
            .route("/y", get(looks));
        let router = plane.around("sample", routes, None);
        Self {
            plane,
            router,
            metrics,
        }
    }

    async fn send(&self, request: Request<Body>) -> Value {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    async fn ask(&self, spec: Value) {
        let request = Request::post(PATH).header(KEY, SECRET);
        let told = self.send(request.body(Body::from(spec.to_string())).unwrap());
        assert_eq!(told.await["state"], "active");
    }

    async fn get(&self, path: &str) -> Value {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    async fn counted(&self) -> Value {
        let request = Request::get(PATH).header(KEY, SECRET);
        let told = self.send(request.body(Body::empty()).unwrap()).await;
        told["faults"][0].clone()
    }
}

#[tokio::test]
async fn a_request_loses_its_cache_at_every_look_or_at_none_and_is_counted_once() {
    let service = Service::new();
    let spec = json!({"kind": "cache_loss", "share": 0.25, "seed": 3, "path": "/x"});
    service.ask(spec).await;
    for number in 0..128 {
        let struck = is_struck(3, 0.25, number);
        let seen = service.get("/x").await;
        assert_eq!(seen["lost"], thrice(struck), "{number}");
        let spared = service.get("/y").await;
        assert_eq!(spared["lost"], thrice(false), "{number}");
    }
    let shown = service.counted().await;
    assert_eq!(
        (&shown["matched"], &shown["struck"]),
        (&json!(128), &json!(32))
    );
    let line = "touchstone_sample_faults_struck_total{kind=\"cache_loss\",side=\"server\"} 32";
    let text = service.metrics.scope("sample").encode();
    assert!(text.contains(line), "{text}");
}

#[tokio::test]
async fn only_its_own_kind_strikes_a_cache_and_only_while_a_request_is_dealt_with() {
    let service = Service::new();
    for kind in ["stale_vectors", "clock", "slow_database"] {
        let spec = json!({"kind": kind, "ms": 1});
        service.ask(spec).await;
    }
    let seen = service.get("/x").await;
    assert_eq!(seen, json!({"lost": thrice(false), "behind": 1}));
    service.ask(json!({"kind": "stale_vectors"})).await;
    let seen = service.get("/x").await;
    assert_eq!(
        seen["behind"], 10_000,
        "of two the one that is further behind"
    );
    service.ask(json!({"kind": "cache_loss"})).await;
    assert_eq!(service.get("/x").await["lost"], thrice(true));
    // What a service does by itself is spared, and so is what it does at its start.
    assert!(!cache_is_lost());
    let building = async { (cache_is_lost(), vectors_are_behind()) };
    let built = service.plane.building("sample", building).await;
    assert_eq!(built, (false, None::<Duration>));
}

#[tokio::test]
async fn a_request_can_ask_for_the_loss_itself() {
    let service = Service::new();
    let request = Request::get("/x").header(KEY, SECRET);
    let request = request.header(FAULT, "cache_loss").body(Body::empty());
    assert_eq!(service.send(request.unwrap()).await["lost"], thrice(true));
    assert_eq!(service.get("/x").await["lost"], thrice(false));
    let elsewhere = Request::get("/x").header(KEY, SECRET);
    let elsewhere = elsewhere
        .header(FAULT, "cache_loss; at=other")
        .body(Body::empty());
    assert_eq!(
        service.send(elsewhere.unwrap()).await["lost"],
        thrice(false)
    );
}
