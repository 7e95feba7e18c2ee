use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use bytesize::ByteSize;
use moka::Expiry;
use moka::sync::Cache as Moka;

use crate::{Cache, Error};

/// What an entry costs beside its key and its value, bytes.
const OVERHEAD: usize = 128;

/// A cache in this process, bounded by bytes.
#[derive(Clone, Debug)]
pub struct MemoryCache(Moka<String, Entry>);

#[derive(Clone, Debug)]
struct Entry {
    value: Bytes,
    ttl: Duration,
}

#[derive(Debug)]
struct OwnTtl;

impl Expiry<String, Entry> for OwnTtl {
    fn expire_after_create(&self, _: &String, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.ttl)
    }

    fn expire_after_update(
        &self,
        _: &String,
        entry: &Entry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.ttl)
    }
}

impl MemoryCache {
    /// A cache of at most `max` bytes, keys and bookkeeping included.
    pub fn new(max: ByteSize) -> Self {
        let cost = |key: &String, entry: &Entry| {
            u32::try_from(key.len() + entry.value.len() + OVERHEAD).unwrap_or(u32::MAX)
        };
        Self(
            Moka::builder()
                .max_capacity(max.as_u64())
                .weigher(cost)
                .expire_after(OwnTtl)
                .build(),
        )
    }

    /// Bytes in use, about.
    pub fn weight(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.weighted_size()
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        if touchstone_faults::cache_is_lost() {
            return Ok(None);
        }
        Ok(self.0.get(key).map(|entry| entry.value))
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), Error> {
        self.0.insert(key.to_owned(), Entry { value, ttl });
        Ok(())
    }

    async fn remove(&self, key: &str) -> Result<(), Error> {
        self.0.invalidate(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_bound_counts_bytes() {
        let cache = MemoryCache::new(ByteSize::kib(64));
        for number in 0..100 {
            let value = Bytes::from(vec![0; 4096]);
            cache
                .put(&format!("key-{number}"), value, Duration::from_mins(1))
                .await
                .unwrap();
        }
        assert!(cache.weight() <= 64 * 1024);
        let huge = Bytes::from(vec![0; 128 * 1024]);
        cache
            .put("huge", huge, Duration::from_mins(1))
            .await
            .unwrap();
        cache.weight();
        assert_eq!(cache.get("huge").await.unwrap(), None);
    }
}
