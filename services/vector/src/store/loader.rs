//! Builds the index from the rows at start, a page at a time.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use touchstone_error::chain;
use touchstone_types::TenantId;

use super::embedded::{EmbeddedStore, Inner, State};
use super::row::LoadRow;
use crate::domain::Definition;
use crate::error::Error;
use crate::index::{SegmentBuilder, Snapshot};

/// Rows read at once.
const PAGE_ROWS: i64 = 1024;
/// Points that wait for their segment at most.
const PENDING_POINTS: usize = 16 * 1024;
/// What the embedded index is promised and benched for.
const PROMISED_POINTS: usize = 100_000;

/// Points of the load by collection and tenant.
type Pending = BTreeMap<(i64, TenantId), SegmentBuilder>;

impl EmbeddedStore {
    /// Loads in the background.
    pub(super) fn begin_load(&self) {
        let inner = std::sync::Arc::clone(&self.inner);
        inner.state.send_replace(State::Loading);
        self.inner.life.spawn("vector.load", async move {
            let started = Instant::now();
            match inner.load().await {
                Ok(()) => inner.loaded(started),
                Err(error) => {
                    tracing::error!(error = %chain(&error), "the index could not be loaded");
                    inner.state.send_replace(State::Failed);
                    inner.gate.close("could not be loaded, see the log");
                }
            }
        });
    }
}

impl Inner {
    fn loaded(&self, started: Instant) {
        self.state.send_replace(State::Ready);
        self.gate.open();
        let (points, duration_ms) = (self.index.points(), started.elapsed().as_millis() as u64);
        tracing::info!(points, duration_ms, "loaded the index");
        if points > PROMISED_POINTS {
            tracing::warn!(
                points,
                "more points than the embedded index is made for ({PROMISED_POINTS}): use Qdrant"
            );
        }
    }

    async fn load(&self) -> Result<(), Error> {
        // Writes are refused until the index stands; this keeps collections as they are.
        let _turn = self.turn.lock().await;
        let entries = self.entries();
        let definitions: BTreeMap<i64, Definition> = entries
            .iter()
            .map(|entry| (entry.key, entry.definition.clone()))
            .collect();
        for entry in &entries {
            self.index.remove(entry.key);
        }
        let stop = self.life.soft_stop();
        let mut pending = Pending::new();
        let mut last = 0;
        loop {
            let page = self.rows.load(last, PAGE_ROWS).await?;
            let Some(row) = page.last() else { break };
            last = row.key;
            let definitions = definitions.clone();
            pending = self
                .pool
                .run(move |_| collect(pending, page, &definitions))
                .await??;
            if pending.values().map(SegmentBuilder::len).sum::<usize>() >= PENDING_POINTS {
                self.index_pending(std::mem::take(&mut pending)).await?;
            }
            if stop.is_cancelled() {
                return Err(Error::Stopping);
            }
        }
        self.index_pending(pending).await?;
        self.next_key.store(last + 1, Ordering::Release);
        Ok(())
    }

    /// Turns what was collected into segments.
    async fn index_pending(&self, pending: Pending) -> Result<(), Error> {
        for ((collection, tenant), builder) in pending {
            let now = self.index.get(collection, tenant);
            let grow = move |_: &_| -> Snapshot { now.with(builder.build()).tidied() };
            let next = self.pool.run(grow).await?;
            self.index.publish(collection, tenant, next);
        }
        Ok(())
    }
}

fn collect(
    mut pending: Pending,
    page: Vec<LoadRow>,
    definitions: &BTreeMap<i64, Definition>,
) -> Result<Pending, Error> {
    for row in page {
        let (key, collection) = (row.key, row.collection);
        let definition = definitions.get(&collection).ok_or(Error::Corrupt {
            key,
            reason: "a point without a collection",
        })?;
        let loaded = row.decode(definition)?;
        let sparse = loaded
            .sparse
            .iter()
            .map(|(number, vector)| (*number, vector));
        pending
            .entry((collection, loaded.tenant))
            .or_insert_with(|| SegmentBuilder::new(definition.sparse.len()))
            .push(loaded.facts, sparse, loaded.dense.as_deref());
    }
    Ok(pending)
}
