//! Faults of connections that are asked for, on a real PostgreSQL.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use touchstone_config::Secret;
use touchstone_error::Classify;
use touchstone_faults::{KEY, PATH, Plane};
use touchstone_store::postgres::Database;
use touchstone_telemetry::Metrics;
use touchstone_types::{IdSource, SystemClock};
use tower::ServiceExt;

use super::{count, hasty, insert, open};

const SECRET: &str = "5f0c3f9e2b7d4a61908e7c6d5b4a39281706f5e4";

fn plane() -> Plane {
    let (key, clock) = (Secret::from(SECRET), Arc::new(SystemClock));
    Plane::new(&key, 1, IdSource::system(), clock, &Metrics::new()).unwrap()
}

/// A service that counts; its status tells how that went.
fn service(plane: &Plane, db: &Database) -> Router {
    let db = db.clone();
    let answer = move || {
        let db = db.clone();
        async move {
            match count(&db).await {
                Ok(_) => StatusCode::OK,
                Err(error) => {
                    assert_eq!(error.code(), "store.unavailable");
                    StatusCode::SERVICE_UNAVAILABLE
                }
            }
        }
    };
    plane.around("sample", Router::new().route("/count", get(answer)), None)
}

async fn ask(router: &Router, method: &str, path: &str, body: &str) -> (u16, bool, Duration) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(KEY, SECRET);
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let began = Instant::now();
    let answer = router.clone().oneshot(request).await.unwrap();
    let struck = answer.headers().contains_key("x-fault-struck");
    (answer.status().as_u16(), struck, began.elapsed())
}

#[tokio::test]
async fn connections_come_late_or_not_at_all_for_the_requests_that_are_struck() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let plane = plane();
    let db = plane
        .building("sample", open(&url, &hasty()))
        .await
        .unwrap();
    insert(&db, "a", 0, None).await.unwrap();
    let router = service(&plane, &db);
    let late = Duration::from_millis(30);
    let slow = "{\"kind\": \"slow_database\", \"ms\": 30, \"share\": 0.25, \"seed\": 3}";
    assert_eq!(ask(&router, "POST", PATH, slow).await.0, 201);
    let mut struck = Vec::new();
    for number in 0..64 {
        let (status, is_struck, took) = ask(&router, "GET", "/count", "").await;
        assert_eq!(status, 200);
        assert!(!is_struck || took >= late, "{took:?}");
        if is_struck {
            struck.push(number);
        }
    }
    let foretold = (0..64).filter(|n| touchstone_faults::is_struck(3, 0.25, *n));
    assert_eq!(struck, foretold.collect::<Vec<u64>>());
    ask(&router, "DELETE", PATH, "").await;

    let none = "{\"kind\": \"no_connections\", \"path\": \"/count\"}";
    assert_eq!(ask(&router, "POST", PATH, none).await.0, 201);
    let (status, is_struck, took) = ask(&router, "GET", "/count", "").await;
    assert_eq!((status, is_struck), (503, true));
    assert!(took >= hasty().acquire_timeout, "{took:?}");
    // Work that no request waits for goes on meanwhile.
    insert(&db, "b", 0, None).await.unwrap();
    ask(&router, "DELETE", PATH, "").await;
    assert_eq!(ask(&router, "GET", "/count", "").await.0, 200);
    assert_eq!(count(&db).await.unwrap(), 2);
}

#[tokio::test]
async fn a_pool_that_was_opened_without_the_plane_is_never_struck() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let plane = plane();
    let db = open(&url, &hasty()).await.unwrap();
    let router = service(&plane, &db);
    let none = "{\"kind\": \"no_connections\"}";
    assert_eq!(ask(&router, "POST", PATH, none).await.0, 201);
    let (status, is_struck, _) = ask(&router, "GET", "/count", "").await;
    assert_eq!((status, is_struck), (200, false));
}
