//! What a write does while it has its turn: rows first, then the next snapshot.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use touchstone_api::vector::Point;
use touchstone_types::{ChunkId, TenantId};

use super::ScopedFilter;
use super::check::check_points;
use super::embedded::Inner;
use super::row::{Entry, NewRow};
use crate::domain::{CollectionName, Definition, TenantScope};
use crate::error::Error;
use crate::index::{CompiledFilter, Facts, Segment, SegmentBuilder, Snapshot};

impl Inner {
    pub(super) async fn ensure(
        self: Arc<Self>,
        name: CollectionName,
        wanted: Definition,
    ) -> Result<Definition, Error> {
        let _turn = self.turn.lock().await;
        let Some(entry) = self.entry(&name) else {
            let key = self.rows.create(&name, &wanted, self.clock.now()).await?;
            tracing::info!(collection = %name, "created collection `{name}`");
            self.set_entry(Entry {
                key,
                name,
                definition: wanted.clone(),
            });
            return Ok(wanted);
        };
        let confirmed = entry.definition.confirm(&name, &wanted)?;
        if let Some(dense) = confirmed
            .dense
            .as_ref()
            .filter(|_| entry.definition.dense.is_none())
        {
            self.rows.set_dense(entry.key, dense).await?;
            tracing::info!(collection = %name, model = dense.model, "collection `{name}` gained dense vectors");
            self.set_entry(Entry {
                key: entry.key,
                name,
                definition: confirmed.clone(),
            });
        }
        Ok(confirmed)
    }

    pub(super) async fn remove(self: Arc<Self>, name: CollectionName) -> Result<bool, Error> {
        let _turn = self.turn.lock().await;
        let Some(entry) = self.entry(&name) else {
            return Ok(false);
        };
        let points = self.rows.remove(entry.key).await;
        self.payloads.removed();
        let points = points?;
        self.collections
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&name);
        self.index.remove(entry.key);
        self.metrics.deleted.inc_by(points);
        tracing::info!(collection = %name, points, "removed collection `{name}`");
        Ok(true)
    }

    pub(super) async fn upsert(
        self: Arc<Self>,
        scope: TenantScope,
        batch: Batch,
    ) -> Result<usize, Error> {
        let _turn = self.turn.lock().await;
        let entry = self.target(scope.collection()).await?;
        if entry.key != batch.collection {
            // It was removed and made anew in the meantime.
            return Err(Error::UnknownCollection(scope.collection().to_string()));
        }
        let (tenant, count) = (scope.tenant(), batch.rows.len());
        let now = self.index.get(entry.key, tenant);
        let first = self
            .next_key
            .fetch_add(count.cast_signed() as i64, Ordering::Relaxed);
        let Batch {
            rows, mut segment, ..
        } = batch;
        let prepare = move |_: &_| {
            let key =
                |(id, fresh): (&ChunkId, i64)| now.locate(*id).map_or(fresh, |at| now.key(at));
            let keys: Vec<i64> = segment.ids().iter().zip(first..).map(key).collect();
            segment.set_keys(keys.clone());
            (keys, now.with(segment))
        };
        let (keys, next) = self.pool.run(prepare).await?;
        let written = self.rows.upsert(entry.key, tenant, rows, &keys).await;
        // Also when it failed: what became of the rows is not known then.
        self.payloads.written(&keys);
        written?;
        self.index.publish(entry.key, tenant, next.clone());
        self.metrics.upserted.inc_by(count as u64);
        self.tidy(entry.key, tenant, next).await;
        Ok(count)
    }

    pub(super) async fn delete(self: Arc<Self>, scoped: ScopedFilter) -> Result<u64, Error> {
        let _turn = self.turn.lock().await;
        let scope = scoped.scope();
        let entry = self.target(scope.collection()).await?;
        let tenant = scope.tenant();
        let now = self.index.get(entry.key, tenant);
        let filter = CompiledFilter::new(scoped.filter());
        let prepare = move |_: &_| {
            let gone = now.select(&filter);
            let keys: Vec<i64> = gone.iter().map(|location| now.key(*location)).collect();
            (keys, now.without(gone))
        };
        let (keys, next) = self.pool.run(prepare).await?;
        if keys.is_empty() {
            return Ok(0);
        }
        let removed = self.rows.delete(entry.key, tenant, &keys).await;
        self.payloads.written(&keys);
        let removed = removed?;
        self.index.publish(entry.key, tenant, next.clone());
        self.metrics.deleted.inc_by(removed);
        self.tidy(entry.key, tenant, next).await;
        Ok(removed)
    }

    /// Merges small segments and drops the dead. A failure leaves what is right but untidy.
    pub(super) async fn tidy(&self, collection: i64, tenant: TenantId, snapshot: Snapshot) {
        if snapshot.is_untidy()
            && let Ok(tidied) = self.pool.run(move |_| snapshot.tidied()).await
        {
            self.index.publish(collection, tenant, tidied);
        }
    }
}

/// Points that were checked, encoded and indexed, without the keys of their rows.
pub(super) struct Batch {
    collection: i64,
    rows: Vec<NewRow>,
    segment: Segment,
}

impl Batch {
    pub(super) fn prepare(entry: &Entry, points: Vec<Point>) -> Result<Self, Error> {
        let definition = &entry.definition;
        check_points(&entry.name, definition, &points)?;
        let mut builder = SegmentBuilder::new(definition.sparse.len());
        for point in &points {
            let sparse = point
                .sparse
                .iter()
                .filter_map(|(name, vector)| Some((definition.sparse_number(name)?, vector)));
            builder.push(facts(point), sparse, point.dense.as_deref());
        }
        let rows = points
            .into_iter()
            .map(|point| NewRow::encode(definition, point))
            .collect();
        Ok(Self {
            collection: entry.key,
            rows,
            segment: builder.build(),
        })
    }
}

fn facts(point: &Point) -> Facts {
    Facts {
        id: point.id,
        key: 0,
        document_id: point.payload.document_id,
        version: point.payload.version,
        language: point.payload.language.clone(),
        source: point.payload.source,
        created_at: point.payload.created_at.timestamp_micros(),
        metadata: point.payload.metadata.clone(),
    }
}
