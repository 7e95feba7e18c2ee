//! Records that wait for the store, and the task that writes them.
//!
//! What the bus brings is taken at once, so that a store that is away never holds up the bus or
//! whoever publishes. The spool is bounded: the oldest records make room and are counted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use touchstone_error::chain;

use crate::config::SpoolConfig;
use crate::domain::{Batch, Row};
use crate::metrics::Metrics;
use crate::store::Store;

/// How long the last attempt may take when the process stops.
const LAST_ATTEMPT: Duration = Duration::from_secs(2);

/// Records that wait.
#[derive(Debug)]
pub struct Spool {
    waiting: Mutex<Waiting>,
    changed: Notify,
    config: SpoolConfig,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Waiting {
    rows: VecDeque<Row>,
    /// Rows that the writer has taken and not written yet; they count as waiting.
    in_work: usize,
}

impl Spool {
    /// An empty spool.
    pub fn new(config: SpoolConfig, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            changed: Notify::new(),
            config,
            metrics,
        })
    }

    /// Takes rows; when there is no room, the oldest that wait are dropped and counted.
    pub fn push(&self, rows: impl IntoIterator<Item = Row>) {
        let mut waiting = self.lock();
        let before = waiting.rows.len();
        waiting.rows.extend(rows);
        self.metrics
            .received
            .inc_by((waiting.rows.len() - before) as u64);
        let room = self.config.records.saturating_sub(waiting.in_work);
        let over = waiting.rows.len().saturating_sub(room);
        waiting.rows.drain(..over);
        self.metrics.dropped.inc_by(over as u64);
        self.show(&waiting);
        drop(waiting);
        self.changed.notify_one();
    }

    /// Records that wait.
    pub fn len(&self) -> usize {
        let waiting = self.lock();
        waiting.rows.len() + waiting.in_work
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes until `stop`, then tries once more to write the rest.
    pub async fn write(self: Arc<Self>, store: Arc<dyn Store>, stop: CancellationToken) {
        loop {
            let batch = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                batch = self.next() => batch,
            };
            if !self.keep_trying(&*store, &batch, &stop).await {
                self.give_back(batch);
                break;
            }
        }
        self.write_rest(&*store).await;
    }

    /// Waits for a row, then a little for others.
    async fn next(&self) -> Batch {
        loop {
            // Whoever pushes after this look wakes us.
            let changed = self.changed.notified();
            if self.lock().rows.is_empty() {
                changed.await;
                continue;
            }
            if self.lock().rows.len() < self.config.batch {
                tokio::time::sleep(self.config.linger).await;
            }
            if let Some(batch) = self.take() {
                return batch;
            }
        }
    }

    fn take(&self) -> Option<Batch> {
        let mut waiting = self.lock();
        let count = waiting.rows.len().min(self.config.batch);
        let rows: Vec<Row> = waiting.rows.drain(..count).collect();
        waiting.in_work = rows.len();
        Batch::new(rows)
    }

    /// Tells whether the batch was written before the stop.
    async fn keep_trying(
        &self,
        store: &dyn Store,
        batch: &Batch,
        stop: &CancellationToken,
    ) -> bool {
        let mut pause = self.config.first_pause;
        let mut told = false;
        while !self.try_once(store, batch, &mut told).await {
            let waited = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            if waited.is_none() {
                return false;
            }
            pause = (pause * 2).min(self.config.longest_pause);
        }
        if told {
            tracing::info!("the store of records answers again");
        }
        true
    }

    async fn try_once(&self, store: &dyn Store, batch: &Batch, told: &mut bool) -> bool {
        let started = Instant::now();
        match store.insert(batch).await {
            Ok(()) => {
                self.done(batch.rows().len());
                self.metrics
                    .write_seconds
                    .observe(started.elapsed().as_secs_f64());
                true
            }
            Err(error) => {
                self.metrics.failed.inc();
                if !*told {
                    tracing::warn!(error = %chain(&error), "records wait for their store");
                    *told = true;
                }
                false
            }
        }
    }

    fn done(&self, count: usize) {
        self.metrics.stored.inc_by(count as u64);
        let mut waiting = self.lock();
        waiting.in_work = 0;
        self.show(&waiting);
    }

    fn give_back(&self, batch: Batch) {
        let mut waiting = self.lock();
        waiting.in_work = 0;
        for row in batch.rows().iter().rev() {
            waiting.rows.push_front(row.clone());
        }
    }

    async fn write_rest(&self, store: &dyn Store) {
        let rest = async {
            let mut told = true;
            while let Some(batch) = self.take() {
                if !self.try_once(store, &batch, &mut told).await {
                    self.give_back(batch);
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(LAST_ATTEMPT, rest).await;
        let mut waiting = self.lock();
        let lost = waiting.rows.len() + waiting.in_work;
        *waiting = Waiting::default();
        self.show(&waiting);
        if lost > 0 {
            self.metrics.dropped.inc_by(lost as u64);
            tracing::warn!(
                lost,
                "records were dropped at the stop: their store is away"
            );
        }
    }

    fn show(&self, waiting: &Waiting) {
        let count = waiting.rows.len() + waiting.in_work;
        self.metrics
            .waiting
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
