use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::{Router, routing};
use bytes::Bytes;
use touchstone_cache::Cache;
use touchstone_config::Secret;
use touchstone_faults::{KEY, PATH, Plane};
use touchstone_telemetry::Metrics;
use touchstone_types::{IdSource, SystemClock};
use tower::ServiceExt;

/// Makes a test of each rule for the cache that the expression opens.
macro_rules! suite {
    ($open:expr) => {
        $crate::contract::suite!($open; keeps_what_was_put, replaces_value_and_time,
            forgets_what_was_removed, forgets_when_the_time_is_over, keeps_keys_apart,
            keeps_any_bytes, finds_nothing_for_whom_that_was_asked);
    };
    ($open:expr; $($rule:ident),+) => {$(
        #[tokio::test]
        async fn $rule() {
            // Missing servers are told on standard error.
            if let Some(cache) = $open {
                $crate::contract::$rule(cache).await;
            }
        }
    )+};
}
pub(crate) use suite;

const SECRET: &str = "5f0c3f9e2b7d4a61908e7c6d5b4a39281706f5e4";
const LONG: Duration = Duration::from_hours(1);

async fn put(cache: &Arc<dyn Cache>, key: &str, value: &'static str, ttl: Duration) {
    cache
        .put(key, Bytes::from_static(value.as_bytes()), ttl)
        .await
        .unwrap();
}

async fn get(cache: &Arc<dyn Cache>, key: &str) -> Option<String> {
    let value = cache.get(key).await.unwrap()?;
    Some(String::from_utf8(value.to_vec()).unwrap())
}

pub async fn keeps_what_was_put(cache: Arc<dyn Cache>) {
    assert_eq!(get(&cache, "a").await, None);
    put(&cache, "a", "1", LONG).await;
    assert_eq!(get(&cache, "a").await.as_deref(), Some("1"));
}

pub async fn replaces_value_and_time(cache: Arc<dyn Cache>) {
    put(&cache, "a", "1", Duration::ZERO).await;
    put(&cache, "a", "2", LONG).await;
    assert_eq!(get(&cache, "a").await.as_deref(), Some("2"));
    put(&cache, "a", "3", Duration::ZERO).await;
    assert_eq!(get(&cache, "a").await, None);
}

pub async fn forgets_what_was_removed(cache: Arc<dyn Cache>) {
    put(&cache, "a", "1", LONG).await;
    cache.remove("a").await.unwrap();
    cache.remove("never there").await.unwrap();
    assert_eq!(get(&cache, "a").await, None);
}

pub async fn forgets_when_the_time_is_over(cache: Arc<dyn Cache>) {
    put(&cache, "short", "1", Duration::from_millis(20)).await;
    put(&cache, "long", "2", LONG).await;
    let patience = Instant::now() + Duration::from_secs(30);
    while get(&cache, "short").await.is_some() {
        assert!(Instant::now() < patience, "still there");
        tokio::task::yield_now().await;
    }
    assert_eq!(get(&cache, "long").await.as_deref(), Some("2"));
}

pub async fn keeps_keys_apart(cache: Arc<dyn Cache>) {
    put(&cache, "tenant-a:x", "1", LONG).await;
    put(&cache, "tenant-b:x", "2", LONG).await;
    cache.remove("tenant-a:x").await.unwrap();
    assert_eq!(get(&cache, "tenant-b:x").await.as_deref(), Some("2"));
}

pub async fn keeps_any_bytes(cache: Arc<dyn Cache>) {
    let bytes: Bytes = (0..=255).collect();
    cache.put("ключ \0 \n", bytes.clone(), LONG).await.unwrap();
    cache.put("empty", Bytes::new(), LONG).await.unwrap();
    assert_eq!(cache.get("ключ \0 \n").await.unwrap(), Some(bytes));
    assert_eq!(cache.get("empty").await.unwrap(), Some(Bytes::new()));
}

/// `cache_loss`: what is kept is not found by the requests that are struck, and is still there.
pub async fn finds_nothing_for_whom_that_was_asked(cache: Arc<dyn Cache>) {
    put(&cache, "a", "1", LONG).await;
    let (key, clock) = (Secret::from(SECRET), Arc::new(SystemClock));
    let plane = Plane::new(&key, 1, IdSource::system(), clock, &Metrics::new()).unwrap();
    let kept = Arc::clone(&cache);
    let look = async move || match get(&kept, "a").await {
        Some(_) => StatusCode::OK,
        None => StatusCode::NOT_FOUND,
    };
    let router = plane.around(
        "sample",
        Router::new().route("/look", routing::get(look)),
        None,
    );
    let ask = async |method: &str, path: &str, body: &'static str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(KEY, SECRET).body(Body::from(body));
        let answer = router.clone().oneshot(request.unwrap()).await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!(ask("GET", "/look", "").await, 200);
    let fault = "{\"kind\": \"cache_loss\", \"share\": 0.25, \"seed\": 3}";
    assert_eq!(ask("POST", PATH, fault).await, 201);
    for number in 0..64 {
        let is_struck = touchstone_faults::is_struck(3, 0.25, number);
        let expected = if is_struck { 404 } else { 200 };
        assert_eq!(ask("GET", "/look", "").await, expected, "{number}");
    }
    // Whoever is no request is spared, and so is everybody when it is over.
    assert_eq!(get(&cache, "a").await.as_deref(), Some("1"));
    ask("DELETE", PATH, "").await;
    assert_eq!(ask("GET", "/look", "").await, 200);
}

/// The contract of shared documents.
mod documents {
    use std::sync::Arc;

    use bytes::Bytes;
    use touchstone_cache::document::{self, Document};

    use crate::support::{PATIENCE, uri};

    async fn is_replaced_by_version(document: Arc<dyn Document>) {
        let replace = async |known: u64, next: u64, value: &'static str| {
            let value = Bytes::from_static(value.as_bytes());
            document.replace(known, next, value).await.unwrap()
        };
        assert_eq!(document.read().await.unwrap(), None);
        assert!(!replace(3, 4, "x").await);
        assert!(replace(0, 7, "one").await);
        assert!(!replace(0, 8, "late").await);
        assert!(replace(7, 8, "two").await);
        assert_eq!(
            document.read().await.unwrap(),
            Some((8, Bytes::from_static(b"two")))
        );
    }

    #[tokio::test]
    async fn memory() {
        is_replaced_by_version(document::open("memory://", "d").unwrap()).await;
    }

    #[tokio::test]
    async fn redis() {
        let Some(server) = touchstone_test_services::redis().await else {
            return;
        };
        let document = document::open(&uri(server.url(), "30s"), "d").unwrap();
        let connected = async {
            while document.read().await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, connected).await.unwrap();
        is_replaced_by_version(document).await;
    }
}
