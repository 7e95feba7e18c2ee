//! The HTTP surface, and the way from the bus to the numbers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use serde_json::{Value, json};
use touchstone_analytics::{Collector, Config, Deps};
use touchstone_api::analytics::{RecordBatch, Stats};
use touchstone_api::events::{ANALYTICS, DOCUMENT_STATUS, DocumentStatusChanged, Event};
use touchstone_events::EventBus;
use touchstone_identity::Caller;
use touchstone_lifecycle::Lifecycle;
use touchstone_testing::{TestClient, TestIdentity};
use touchstone_types::{DocumentId, DocumentStatus, IdSource, Role};
use uuid::Uuid;

use crate::fixtures::*;

struct App {
    router: Router,
    identity: TestIdentity,
    bus: Arc<dyn EventBus>,
    life: Lifecycle,
}

impl App {
    async fn start(edit: impl FnOnce(&mut Config)) -> Self {
        let (identity, life) = (TestIdentity::new(), Lifecycle::new());
        let mut config: Config = touchstone_config::defaults();
        config.store.replace_range(.., "sqlite::memory:");
        config.spool.linger = Duration::from_millis(1);
        edit(&mut config);
        let bus = touchstone_events::open("memory://").unwrap();
        let deps = Deps::resolve(identity.common(), Arc::clone(&bus), &config);
        let router = touchstone_analytics::build(config, deps, &life)
            .await
            .unwrap();
        life.ready().await;
        Self {
            router,
            identity,
            bus,
            life,
        }
    }

    fn as_caller(&self, caller: &Caller) -> TestClient {
        TestClient::new(self.router.clone(), self.identity.bearer(caller))
    }

    fn user(&self, number: u128, role: Role) -> TestClient {
        self.as_caller(&self.identity.caller_of(tenant(number), role))
    }

    async fn publish(&self, topic: &str, payload: Value) {
        let event = Event {
            id: IdSource::system().next(),
            topic: topic.to_owned(),
            key: "test".to_owned(),
            at: at(),
            traceparent: None,
            payload,
        };
        self.bus.publish(vec![event]).await.unwrap();
    }

    async fn record(&self, records: Vec<touchstone_api::analytics::Record>) {
        let batch = serde_json::to_value(RecordBatch { records }).unwrap();
        self.publish(ANALYTICS, batch).await;
    }

    /// Asks with the cache off until the answer holds.
    async fn until(&self, client: &TestClient, holds: impl Fn(&Stats) -> bool) -> Stats {
        let mut last = None;
        for _ in 0..1000 {
            let stats: Stats = client.get("/stats").await.json();
            if holds(&stats) {
                return stats;
            }
            last = Some(stats);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Says what is missing.
        last.filter(holds).unwrap()
    }
}

#[tokio::test]
async fn what_goes_over_the_bus_comes_out_as_numbers_of_its_tenant() {
    let app = App::start(|config| config.cache = Duration::ZERO).await;
    app.record(vec![
        request(Some(tenant(1)), 200, 4000),
        request(Some(tenant(1)), 500, 8000),
        request(Some(tenant(2)), 200, 1000),
        query(tenant(1), Some("where is it"), 0),
        about_channel(tenant(1), "news"),
    ])
    .await;
    let changed = DocumentStatusChanged {
        tenant_id: tenant(1),
        document_id: DocumentId::from_uuid(Uuid::from_u128(1)),
        version: 1,
        status: DocumentStatus::Indexed,
    };
    app.publish(DOCUMENT_STATUS, serde_json::to_value(changed).unwrap())
        .await;
    // What does not decode stops nobody.
    app.publish(ANALYTICS, json!({"records": [{"kind": "nonsense"}]}))
        .await;

    let admin = app.user(1, Role::Admin);
    let full = |stats: &Stats| stats.totals.requests == 3 && stats.totals.documents_indexed == 1;
    let stats = app.until(&admin, full).await;
    assert_eq!(
        (stats.totals.errors, stats.totals.queries_without_hits),
        (1, 1)
    );
    assert_eq!(stats.top_queries[0].name, "where is it");
    assert_eq!(stats.top_channels[0].name, "news");
    assert_eq!(stats.latency.max_ms.to_bits(), 8.0_f64.to_bits());
    assert_eq!(stats.days.len(), 2);

    let member: Stats = app.user(1, Role::Member).get("/stats").await.json();
    assert_eq!((member.totals.requests, member.top_queries.len()), (3, 0));
    let other: Stats = app.user(2, Role::Admin).get("/stats").await.json();
    assert_eq!((other.totals.requests, other.totals.queries), (1, 0));
    let service = app.identity.service(tenant(3));
    let everything: Value = app.as_caller(&service).get("/stats").await.json();
    assert_eq!(everything["totals"]["requests"], 4);
    assert_eq!(everything["scope"], "everything");
    assert_eq!(everything["top_queries"], json!([]));
    assert!(app.life.shutdown(Duration::from_mins(1)).await.is_clean());
}

#[tokio::test]
async fn an_answer_is_repeated_for_a_minute_and_says_so() {
    let app = App::start(|_| {}).await;
    let admin = app.user(1, Role::Admin);
    let first = admin.get("/stats?period=hour").await;
    assert_eq!(first.headers["cache-control"], "private, max-age=60");
    assert_eq!(first.headers["age"], "0");
    app.record(vec![request(Some(tenant(1)), 200, 1)]).await;
    // The other period is not cached yet: it shows when the record has arrived.
    let day = app.user(1, Role::Member);
    for period in ["day", "week", "month"] {
        let stats: Stats = day.get(&format!("/stats?period={period}")).await.json();
        assert_eq!(stats.collector, "store");
    }
    let again: Value = admin.get("/stats?period=hour").await.json();
    assert_eq!(again, first.json::<Value>());
}

#[tokio::test]
async fn made_up_numbers_say_so_and_keep_nothing() {
    let app = App::start(|config| {
        config.collector = Collector::Mock;
        // Nothing is opened: this would fail.
        config.store = "sqlite:///nowhere/at/all/analytics.db".to_owned();
    })
    .await;
    let admin = app.user(1, Role::Admin);
    let stats: Stats = admin.get("/stats?period=week").await.json();
    assert_eq!((stats.collector.as_str(), stats.days.len()), ("mock", 8));
    assert!(stats.totals.requests > 0 && !stats.top_queries.is_empty());
    let health: Value = admin.get("/health").await.json();
    assert_eq!(
        (&health["status"], &health["details"]["backend"]),
        (&json!("healthy"), &json!("mock")),
        "{health}"
    );
}

#[tokio::test]
async fn bad_requests_are_problems() {
    let app = App::start(|_| {}).await;
    let user = app.user(1, Role::Member);
    for (path, code) in [
        ("/stats?period=year", "422 request.invalid"),
        ("/stats?tenant=1", "422 request.invalid"),
        ("/nothing", "404 request.unknown_path"),
    ] {
        let answer = user.get(path).await;
        let told: Value = answer.json();
        let code_of = told["code"].as_str().unwrap();
        assert_eq!(
            format!("{} {code_of}", answer.status.as_u16()),
            code,
            "{told}"
        );
    }
    let anonymous = TestClient::anonymous(app.router.clone())
        .get("/stats")
        .await;
    assert_eq!(anonymous.status, 401);
}

#[tokio::test]
async fn a_clickhouse_that_is_away_stops_nobody_but_the_statistics() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let app = App::start(|config| config.store = format!("http://127.0.0.1:{port}")).await;
    let admin = app.user(1, Role::Admin);
    app.record(vec![request(Some(tenant(1)), 200, 1)]).await;
    let answer = admin.get("/stats").await;
    let told: Value = answer.json();
    assert_eq!(answer.status, 503);
    assert_eq!(told["code"], "analytics.clickhouse_unavailable");
    assert!(!told.to_string().contains("127.0.0.1"), "{told}");
    assert_eq!(admin.get("/ready").await.status, 200);
    let health: Value = admin.get("/health").await.json();
    assert_eq!(health["status"], "degraded");
    assert!(app.life.shutdown(Duration::from_mins(1)).await.is_clean());
}
