use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use touchstone_api::events::Event;
use touchstone_store::postgres::{Database, Flow, Options, inbox, outbox, write};
use touchstone_store::{Error, Outbox};
use touchstone_types::{Clock, EventId, FrozenClock};

use super::execute;

fn event(number: u128) -> Event {
    Event {
        id: EventId::from_uuid(uuid::Uuid::from_u128(number)),
        topic: "sample".to_owned(),
        key: format!("key-{}", number % 3),
        at: FrozenClock::default().now(),
        traceparent: Some("00-1-2-01".to_owned()),
        payload: serde_json::json!({ "number": u64::try_from(number).unwrap(), "nul": "\0" }),
    }
}

/// The documented tables are the tested ones.
fn migrator() -> Migrator {
    let ddl = [outbox::DDL, inbox::DDL].concat();
    Migrator::with_migrations(vec![Migration::new(
        1,
        "events".into(),
        MigrationType::Simple,
        sqlx::AssertSqlSafe(ddl).into_sql_str(),
        false,
    )])
}

async fn open(url: &str) -> Database {
    Database::open(url, "events", &migrator(), &Options::default())
        .await
        .unwrap()
}

async fn append(db: &Database, numbers: impl IntoIterator<Item = u128> + Clone) {
    let appended: Result<(), Error> = write!(db, |tx| {
        let events: Vec<Event> = numbers.clone().into_iter().map(event).collect();
        outbox::append_all(tx, &events).await?;
        Ok(Flow::Commit(()))
    });
    appended.unwrap();
}

#[tokio::test]
async fn an_event_is_pending_from_the_commit_of_its_fact_until_it_was_sent() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let db = open(&url).await;
    let clock = FrozenClock::default();
    let dropped: Result<(), Error> = write!(db, |tx| {
        outbox::append(tx, &event(1)).await?;
        Ok(Flow::Rollback(()))
    });
    dropped.unwrap();
    assert_eq!(db.pending(10).await.unwrap(), []);
    append(&db, [3, 2, 1]).await;
    assert_eq!(db.pending(2).await.unwrap(), [event(3), event(2)]);
    db.mark_sent(&[event(3).id, event(2).id], clock.now())
        .await
        .unwrap();
    assert_eq!(db.pending(10).await.unwrap(), [event(1)]);
    assert_eq!(db.prune(clock.now()).await.unwrap(), 0);
    clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(db.prune(clock.now()).await.unwrap(), 2);
    assert_eq!(db.pending(10).await.unwrap(), [event(1)]);
}

#[tokio::test]
async fn many_events_are_sent_in_their_order() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let db = open(&url).await;
    let numbers = (0..2_000_u128).map(|number| (number * 7_919) % 100_003);
    let mut events: Vec<Event> = numbers.map(event).collect();
    events[1].traceparent = None;
    let appended: Result<(), Error> = write!(db, |tx| {
        outbox::append_all(tx, &[]).await?;
        outbox::append_all(tx, &events[..1]).await?;
        outbox::append_all(tx, &events[1..]).await?;
        Ok(Flow::Commit(()))
    });
    appended.unwrap();
    assert_eq!(db.pending(3_000).await.unwrap(), events);
    // All or nothing.
    let repeated = [event(500_000), event(0)];
    let refused: Result<(), Error> = write!(db, |tx| {
        outbox::append_all(tx, &repeated).await?;
        Ok(Flow::Commit(()))
    });
    assert!(
        matches!(refused, Err(Error::Constraint { .. })),
        "{refused:?}"
    );
    assert_eq!(db.backlog().await.unwrap(), 2_000);
}

#[tokio::test]
async fn one_relay_holds_the_outbox_until_it_is_empty_or_silent() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let (one, other) = (open(&url).await, open(&url).await);
    let now = FrozenClock::default().now();
    append(&one, [1, 2]).await;
    assert_eq!(one.pending(1).await.unwrap(), [event(1)]);
    assert_eq!(other.pending(10).await.unwrap(), []);
    one.mark_sent(&[event(1).id], now).await.unwrap();
    // Something is left: the holder goes on.
    assert_eq!(other.pending(10).await.unwrap(), []);
    assert_eq!(one.pending(10).await.unwrap(), [event(2)]);
    one.mark_sent(&[event(2).id], now).await.unwrap();
    append(&one, [3]).await;
    assert_eq!(other.pending(10).await.unwrap(), [event(3)]);
    // The other one hangs; its lease runs out.
    execute(&url, "UPDATE events.outbox_lease SET until = now()").await;
    assert_eq!(one.pending(10).await.unwrap(), [event(3)]);
    // It wakes up and marks what it had published; the present holder keeps the lease.
    other.mark_sent(&[event(3).id], now).await.unwrap();
    append(&one, [4]).await;
    assert_eq!(one.pending(10).await.unwrap(), [event(4)]);
    assert_eq!(other.pending(10).await.unwrap(), []);
}

/// Each relay publishes in batches; together they publish everything, in order, and as neither
/// hangs nothing is published twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_relays_at_once_lose_repeat_and_reorder_nothing() {
    const EVENTS: u128 = 1000;
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let relays = [open(&url).await, open(&url).await, open(&url).await];
    let now = FrozenClock::default().now();
    let bus = tokio::sync::Mutex::new(Vec::new());
    let (written, shares) = (AtomicBool::new(false), std::sync::Mutex::new([0; 3]));
    let relay = async |number: usize| {
        loop {
            let done = written.load(Ordering::SeqCst);
            let events = relays[number].pending(16).await.unwrap();
            if events.is_empty() {
                if done && bus.lock().await.len() >= usize::try_from(EVENTS).unwrap() {
                    return;
                }
                tokio::task::yield_now().await;
                continue;
            }
            let ids: Vec<_> = events.iter().map(|event| event.id).collect();
            bus.lock().await.extend(ids.iter().copied());
            shares.lock().unwrap()[number] += ids.len();
            relays[number].mark_sent(&ids, now).await.unwrap();
        }
    };
    let writer = async {
        let db = open(&url).await;
        for number in 0..EVENTS / 4 {
            append(&db, (number * 4)..(number * 4 + 4)).await;
        }
        written.store(true, Ordering::SeqCst);
    };
    tokio::join!(writer, relay(0), relay(1), relay(2));
    let published = bus.into_inner();
    let expected: Vec<_> = (0..EVENTS).map(|number| event(number).id).collect();
    assert_eq!(published, expected);
    let shares = shares.into_inner().unwrap();
    assert!(
        shares.iter().filter(|share| **share > 0).count() > 1,
        "{shares:?}"
    );
}

#[tokio::test]
async fn an_event_is_new_once_per_consumer_even_to_two_at_once() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let db = open(&url).await;
    let now = FrozenClock::default().now();
    let record = async |consumer: &str, keep: bool| {
        write!(db, |tx| {
            let new = inbox::record(tx, consumer, event(1).id, now).await?;
            Ok(if keep {
                Flow::Commit(new)
            } else {
                Flow::Rollback(new)
            })
        })
        .unwrap()
    };
    assert!(record("one", false).await);
    let both = tokio::join!(
        record("one", true),
        record("one", true),
        record("one", true),
        record("one", true)
    );
    let news = [both.0, both.1, both.2, both.3];
    assert_eq!(news.iter().filter(|new| **new).count(), 1);
    assert!(record("other", true).await);
    let pruned = write!(db, |tx| {
        let later = now + std::time::Duration::from_secs(1);
        Ok(Flow::Commit(inbox::prune(tx, later).await?))
    });
    assert_eq!(pruned.unwrap(), 2);
}
