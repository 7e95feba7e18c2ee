//! Relay and bus on real servers: rate, and the backlog after an outage.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use touchstone_api::events::Event;
use touchstone_events::{EventBus, KafkaBus, KafkaOptions, Relay, RelayOptions};
use touchstone_lifecycle::Lifecycle;
use touchstone_store::postgres::{Database, Flow, Options, inbox, outbox, write};
use touchstone_store::{Error, Outbox};
use touchstone_test_services::Exclusive;
use touchstone_types::{Clock, EventId, SystemClock};
use uuid::Uuid;

use crate::table::{Goal, Table};

/// Events of the rate's measurement.
const EVENTS: u128 = 50_000;
/// How long the broker is away.
const OUTAGE: Duration = Duration::from_mins(1);
/// Facts per second meanwhile.
const FACTS_PER_SECOND: u128 = 500;
/// Facts that share a transaction.
const TRANSACTION: u128 = 250;
const TOPIC: &str = "bench";

pub async fn run(table: &mut Table) -> anyhow::Result<()> {
    let (Some(postgres), Some(kafka)) = (Exclusive::postgres().await, Exclusive::kafka().await)
    else {
        table.skipped("relay on PostgreSQL and Kafka", "a server is missing");
        return Ok(());
    };
    let ddl = [outbox::DDL, inbox::DDL].concat();
    let migrator = Migrator::with_migrations(vec![Migration::new(
        1,
        "events".into(),
        MigrationType::Simple,
        sqlx::AssertSqlSafe(ddl).into_sql_str(),
        false,
    )]);
    let database = Database::open(postgres.url(), "bench", &migrator, &Options::default()).await?;
    let bus: Arc<dyn EventBus> = Arc::new(KafkaBus::new(KafkaOptions::parse(kafka.url())?)?);
    // The first delivery creates the topic.
    bus.publish(vec![event(0)]).await?;

    append(&database, 1..=EVENTS).await?;
    let life = Lifecycle::new();
    let outbox: Arc<dyn Outbox> = Arc::new(database.clone());
    let clock = Arc::new(SystemClock);
    let relay = Relay::new(outbox, Arc::clone(&bus), clock, RelayOptions::default());
    let started = Instant::now();
    relay.start("bench.relay", &life);
    drained(&database).await?;
    let rate = EVENTS as f64 / started.elapsed().as_secs_f64();
    let what = "relay from PostgreSQL to Kafka, `fsync` on";
    table.measured(what, Goal::AtLeast(5000.0), rate, " events/s", 0);

    kafka.kill().await;
    let away = Instant::now();
    let mut next = EVENTS + 1;
    while away.elapsed() < OUTAGE {
        append(&database, next..next + FACTS_PER_SECOND).await?;
        next += FACTS_PER_SECOND;
        let due = Duration::from_secs(((next - EVENTS) / FACTS_PER_SECOND) as u64);
        tokio::time::sleep(due.saturating_sub(away.elapsed())).await;
    }
    kafka.restart().await;
    let back = Instant::now();
    drained(&database).await?;
    let waited = next - EVENTS - 1;
    let what = format!("broker away for 60 s: {waited} waiting events drained in");
    let seconds = back.elapsed().as_secs_f64();
    table.measured(&what, Goal::AtMost(60.0), seconds, " s", 1);
    life.shutdown(Duration::from_secs(10)).await;
    Ok(())
}

fn event(number: u128) -> Event {
    Event {
        id: EventId::from_uuid(Uuid::from_u128(number)),
        topic: TOPIC.to_owned(),
        key: format!("key-{}", number % 1000),
        at: SystemClock.now(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        payload: json!({"document_id": Uuid::from_u128(number), "version": 1, "action": "ingest"}),
    }
}

async fn append(database: &Database, numbers: impl Iterator<Item = u128>) -> anyhow::Result<()> {
    let events: Vec<_> = numbers.map(event).collect();
    for chunk in events.chunks(TRANSACTION as usize) {
        let appended: Result<(), Error> = write!(database, |tx| {
            for event in chunk {
                outbox::append(tx, event).await?;
            }
            Ok(Flow::Commit(()))
        });
        appended?;
    }
    Ok(())
}

async fn drained(database: &Database) -> anyhow::Result<()> {
    while database.backlog().await? > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
