//! Dense vectors of texts seen before.

use std::sync::Arc;

use moka::sync::Cache;
use sha2::{Digest, Sha256};
use touchstone_api::embedding::EmbeddingKind;
use touchstone_api::model::Model;

/// Bytes of an entry besides its numbers: key, pointers, bookkeeping.
const OVERHEAD_BYTES: usize = 160;

/// A vector that many may hold.
pub type Vector = Arc<[f32]>;

/// Keeps vectors by model, kind and text, up to a number of bytes.
#[derive(Debug, Clone)]
pub struct VectorCache(Cache<[u8; 32], Vector>);

impl VectorCache {
    /// Keeps `bytes`; none when 0.
    pub fn new(bytes: u64) -> Self {
        let weigh = |_: &[u8; 32], vector: &Vector| {
            u32::try_from(size_of_val(&**vector) + OVERHEAD_BYTES).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().weigher(weigh).max_capacity(bytes).build())
    }

    /// The vector of a text.
    pub fn get(&self, key: &[u8; 32]) -> Option<Vector> {
        if touchstone_faults::cache_is_lost() {
            return None;
        }
        self.0.get(key)
    }

    /// Keeps a vector.
    pub fn put(&self, key: [u8; 32], vector: Vector) {
        self.0.insert(key, vector);
    }

    /// About how many vectors there are.
    pub fn len(&self) -> u64 {
        // The count lags behind until the cache has tidied up.
        self.0.run_pending_tasks();
        self.0.entry_count()
    }
}

/// The key of a text. A model that was replaced by another of the same name has another size or
/// dimension.
pub fn key(model: &Model, kind: EmbeddingKind, text: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(model.id.as_bytes());
    hasher.update([0, u8::from(kind == EmbeddingKind::Query)]);
    hasher.update((model.dimension.unwrap_or(0) as u64).to_le_bytes());
    hasher.update(model.memory_bytes.to_le_bytes());
    hasher.update(text.as_bytes());
    hasher.finalize().into()
}
