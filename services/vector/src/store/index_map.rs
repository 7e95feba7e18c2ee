use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use touchstone_types::TenantId;

use crate::index::Snapshot;
use crate::metrics::Metrics;

/// The present snapshot of every tenant in every collection.
///
/// The lock is held to look up or to swap a snapshot, never while one is read or prepared.
#[derive(Debug)]
pub(super) struct IndexMap {
    snapshots: RwLock<HashMap<(i64, TenantId), Snapshot>>,
    metrics: Metrics,
}

impl IndexMap {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            snapshots: RwLock::default(),
            metrics,
        }
    }

    /// What a tenant has in a collection now.
    pub(super) fn get(&self, collection: i64, tenant: TenantId) -> Snapshot {
        let snapshots = self
            .snapshots
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        snapshots
            .get(&(collection, tenant))
            .cloned()
            .unwrap_or_default()
    }

    /// From now on the tenant has this.
    pub(super) fn publish(&self, collection: i64, tenant: TenantId, next: Snapshot) {
        self.measure(&next, 1);
        let key = (collection, tenant);
        let before = {
            let mut snapshots = self
                .snapshots
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            if next.is_empty() {
                snapshots.remove(&key)
            } else {
                snapshots.insert(key, next)
            }
        };
        if let Some(before) = before {
            self.measure(&before, -1);
        }
    }

    /// Forgets a collection.
    pub(super) fn remove(&self, collection: i64) {
        let removed: Vec<Snapshot> = {
            let mut snapshots = self
                .snapshots
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            snapshots
                .extract_if(|key, _| key.0 == collection)
                .map(|(_, gone)| gone)
                .collect()
        };
        for snapshot in removed {
            self.measure(&snapshot, -1);
        }
    }

    /// Living points of all tenants.
    pub(super) fn points(&self) -> usize {
        let snapshots = self
            .snapshots
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        snapshots.values().map(Snapshot::len).sum()
    }

    /// About how much memory all of it takes.
    pub(super) fn bytes(&self) -> usize {
        let snapshots = self
            .snapshots
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        snapshots.values().map(Snapshot::bytes).sum()
    }

    fn measure(&self, snapshot: &Snapshot, sign: i64) {
        self.metrics.points.inc_by(sign * signed(snapshot.len()));
        self.metrics
            .index_bytes
            .inc_by(sign * signed(snapshot.bytes()));
        self.metrics
            .index_segments
            .inc_by(sign * signed(snapshot.segments()));
    }
}

fn signed(size: usize) -> i64 {
    size.cast_signed() as i64
}
