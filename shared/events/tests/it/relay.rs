use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use touchstone_api::events::Event;
use touchstone_events::{Error, EventBus, MemoryBus, Relay, RelayOptions, Subscription};
use touchstone_lifecycle::Lifecycle;
use touchstone_store::sqlite::{Database, commit};
use touchstone_store::{Outbox, outbox};
use touchstone_types::SystemClock;

use crate::contract::{event, number};

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../store/tests/migrations");

/// Never looks by itself, so that the waker is what is tested.
const WOKEN_ONLY: RelayOptions = RelayOptions {
    batch: 3,
    poll: Duration::from_hours(1),
    keep: Duration::from_hours(1),
    prune: Duration::from_hours(1),
    backoff: touchstone_events::Backoff {
        first: Duration::from_millis(1),
        max: Duration::from_millis(5),
    },
};

async fn database() -> Arc<Database> {
    Arc::new(Database::open("sqlite::memory:", &MIGRATOR).await.unwrap())
}

async fn append(db: &Database, numbers: impl IntoIterator<Item = u32>) {
    let mut tx = db.begin().await.unwrap();
    for number in numbers {
        outbox::append(&mut tx, &event("t", "key", number))
            .await
            .unwrap();
    }
    commit(tx).await.unwrap();
}

fn relay(db: &Arc<Database>, bus: Arc<dyn EventBus>, options: RelayOptions) -> Relay {
    Relay::new(
        Arc::clone(db) as Arc<dyn Outbox>,
        bus,
        Arc::new(SystemClock),
        options,
    )
}

async fn drained(db: &Database) {
    let patience = async {
        while !db.pending(1).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), patience)
        .await
        .expect("still pending");
}

#[tokio::test]
async fn publishes_what_was_committed_before_and_after_its_start() {
    let (db, bus, life) = (
        database().await,
        Arc::new(MemoryBus::new()),
        Lifecycle::new(),
    );
    let mut out = bus.subscribe("t", "g").await.unwrap();
    append(&db, 1..=7).await;
    let relay = relay(&db, bus, WOKEN_ONLY);
    let waker = relay.waker();
    relay.start("relay", &life);
    for expected in 1..=9 {
        if expected == 8 {
            drained(&db).await;
            append(&db, 8..=9).await;
            waker.wake();
        }
        let delivery = out.next().await.unwrap();
        assert_eq!(number(delivery.event()), expected);
        delivery.ack();
    }
    drained(&db).await;
    assert!(life.shutdown(Duration::from_secs(30)).await.is_clean());
}

/// A bus that is away until told otherwise.
#[derive(Debug)]
struct Away(MemoryBus, AtomicBool);

#[async_trait]
impl EventBus for Away {
    async fn publish(&self, events: Vec<Event>) -> Result<(), Error> {
        if self.1.load(Ordering::SeqCst) {
            return Err(Error::Unavailable("away".into()));
        }
        self.0.publish(events).await
    }

    async fn subscribe(&self, topic: &str, group: &str) -> Result<Subscription, Error> {
        self.0.subscribe(topic, group).await
    }
}

#[tokio::test]
async fn keeps_everything_while_the_bus_is_away() {
    let (db, life) = (database().await, Lifecycle::new());
    let bus = Arc::new(Away(MemoryBus::new(), AtomicBool::new(true)));
    let mut out = bus.subscribe("t", "g").await.unwrap();
    append(&db, 1..=2).await;
    relay(&db, Arc::clone(&bus) as Arc<dyn EventBus>, WOKEN_ONLY).start("relay", &life);
    tokio::task::yield_now().await;
    assert_eq!(db.pending(10).await.unwrap().len(), 2);
    bus.1.store(false, Ordering::SeqCst);
    for expected in 1..=2 {
        let delivery = out.next().await.unwrap();
        assert_eq!(number(delivery.event()), expected);
        delivery.ack();
    }
    drained(&db).await;
    assert!(life.shutdown(Duration::from_secs(30)).await.is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_relays_lose_nothing_and_keep_the_order_of_first_arrivals() {
    let (db, bus, life) = (
        database().await,
        Arc::new(MemoryBus::new()),
        Lifecycle::new(),
    );
    let mut out = bus.subscribe("t", "g").await.unwrap();
    let options = RelayOptions {
        poll: Duration::from_millis(1),
        ..WOKEN_ONLY
    };
    for number in 0..3 {
        let bus: Arc<dyn EventBus> = bus.clone();
        relay(&db, bus, options).start(format!("relay-{number}"), &life);
    }
    let mut first_arrivals = Vec::new();
    for round in 0..20 {
        append(&db, round * 5..round * 5 + 5).await;
    }
    while first_arrivals.len() < 100 {
        let delivery = tokio::time::timeout(Duration::from_secs(30), out.next()).await;
        let delivery = delivery.expect("something is missing").unwrap();
        let number = number(delivery.event());
        if !first_arrivals.contains(&number) {
            first_arrivals.push(number);
        }
        delivery.ack();
    }
    assert_eq!(first_arrivals, (0..100).collect::<Vec<_>>());
    assert!(life.shutdown(Duration::from_secs(30)).await.is_clean());
}

#[tokio::test]
async fn what_was_sent_long_ago_is_removed() {
    let (db, bus, life) = (
        database().await,
        Arc::new(MemoryBus::new()),
        Lifecycle::new(),
    );
    append(&db, 1..=2).await;
    let options = RelayOptions {
        keep: Duration::ZERO,
        prune: Duration::from_millis(1),
        poll: Duration::from_hours(1),
        ..WOKEN_ONLY
    };
    relay(&db, bus, options).start("relay", &life);
    let patience = async {
        let left = || sqlx::query_scalar::<_, i64>("SELECT count(*) FROM outbox");
        while left().fetch_one(db.read()).await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), patience)
        .await
        .expect("still there");
    assert!(life.shutdown(Duration::from_secs(30)).await.is_clean());
}
