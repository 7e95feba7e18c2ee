//! A store that is away: nobody waits, the spool is bounded, what is dropped is counted exactly.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use touchstone_analytics::domain::{Batch, Row, Span, View};
use touchstone_analytics::store::{Collected, Store};
use touchstone_analytics::{Error, Metrics, Spool, SpoolConfig};
use touchstone_lifecycle::Lifecycle;
use uuid::Uuid;

use crate::fixtures::*;

/// A store that can be away, or take a batch and not say so.
#[derive(Debug, Default)]
struct Moody {
    away: AtomicBool,
    forgets_to_answer: AtomicBool,
    tried: Mutex<Vec<String>>,
    kept: Mutex<Vec<Uuid>>,
}

#[async_trait]
impl Store for Moody {
    async fn insert(&self, batch: &Batch) -> Result<(), Error> {
        self.tried.lock().unwrap().push(batch.token());
        if self.away.load(Ordering::Relaxed) {
            return Err(Error::Timeout);
        }
        let mut kept = self.kept.lock().unwrap();
        for row in batch.rows() {
            if !kept.contains(&row.event_id) {
                kept.push(row.event_id);
            }
        }
        if self.forgets_to_answer.swap(false, Ordering::Relaxed) {
            return Err(Error::Timeout);
        }
        Ok(())
    }

    async fn collect(&self, _: View, _: Span) -> Result<Collected, Error> {
        Ok(Collected::default())
    }

    async fn forget_before(&self, _: DateTime<Utc>) -> Result<(), Error> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }

    fn name(&self) -> &'static str {
        "moody"
    }
}

struct Stage {
    spool: Arc<Spool>,
    store: Arc<Moody>,
    metrics: Metrics,
    life: Lifecycle,
}

fn stage(records: usize, batch: usize) -> Stage {
    let config = SpoolConfig {
        records,
        batch,
        linger: Duration::from_secs(1),
        first_pause: Duration::from_millis(200),
        longest_pause: Duration::from_secs(10),
    };
    let metrics = Metrics::new(&touchstone_telemetry::Metrics::new());
    let (spool, store) = (
        Spool::new(config, metrics.clone()),
        Arc::new(Moody::default()),
    );
    let life = Lifecycle::new();
    let writer = Arc::clone(&spool).write(store.clone(), life.soft_stop());
    life.spawn("write", writer);
    Stage {
        spool,
        store,
        metrics,
        life,
    }
}

fn rows(event: u128, count: usize) -> Vec<Row> {
    let records = vec![request(None, 200, 1); count];
    Row::of_event(Uuid::from_u128(event << 32), records).collect()
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_without_a_store_cost_nobody_anything_and_are_counted_exactly() {
    let stage = stage(1000, 100);
    stage.store.away.store(true, Ordering::Relaxed);
    // 600 seconds, 10 records a second: 6,000 come, 1,000 have room.
    for second in 0..600_u128 {
        // Not async: whoever pushes cannot wait.
        stage.spool.push(rows(second, 10));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(stage.spool.len() <= 1000);
    }
    assert_eq!(stage.metrics.received.get(), 6000);
    assert_eq!(stage.spool.len(), 1000);
    assert_eq!(stage.metrics.dropped.get(), 5000);
    assert!(stage.metrics.failed.get() > 10, "the fault met the writer");

    stage.store.away.store(false, Ordering::Relaxed);
    while !stage.spool.is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let kept = stage.store.kept.lock().unwrap().clone();
    assert_eq!((kept.len(), stage.metrics.stored.get()), (1000, 1000));
    // The newest are kept, but for the batch that was being tried when the store went.
    let newest = rows(599, 10);
    assert!(newest.iter().all(|row| kept.contains(&row.event_id)));
    assert_eq!(stage.metrics.dropped.get(), 5000);
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_answer_was_lost_is_sent_again_as_the_same_batch() {
    let stage = stage(1000, 100);
    stage.store.forgets_to_answer.store(true, Ordering::Relaxed);
    stage.spool.push(rows(1, 30));
    // More comes while the first batch is in doubt: it must not join it.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    stage.spool.push(rows(2, 30));
    while !stage.spool.is_empty() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let tried = stage.store.tried.lock().unwrap().clone();
    assert_eq!(tried.len(), 3, "{tried:?}");
    assert_eq!(tried[0], tried[1]);
    assert_ne!(tried[1], tried[2]);
    assert_eq!(stage.store.kept.lock().unwrap().len(), 60);
    assert_eq!(stage.metrics.dropped.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_stop_writes_the_rest_or_counts_it() {
    for away in [false, true] {
        let stage = stage(1000, 100);
        stage.store.away.store(away, Ordering::Relaxed);
        stage.spool.push(rows(1, 250));
        tokio::task::yield_now().await;
        assert!(stage.life.shutdown(Duration::from_mins(1)).await.is_clean());
        let (stored, dropped) = if away { (0, 250) } else { (250, 0) };
        assert_eq!(stage.metrics.stored.get(), stored);
        assert_eq!(stage.metrics.dropped.get(), dropped);
    }
}
