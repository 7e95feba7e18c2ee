//! What lies between a request that may be made and the call that it makes.

mod cache;
mod config;
mod entry;
mod epochs;
mod flight;
mod key;
mod upstreams;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use axum::response::Response;
use bytes::Bytes;
use moka::sync::Cache;

use crate::Error;
use entry::Entry;
use epochs::Epochs;
use flight::Flights;
use key::Key;

pub(crate) use cache::{cached, epoch_of_answers, is_cacheable, readable, recall, remember};
pub use config::{CacheConfig, UpstreamsConfig};
pub(crate) use upstreams::Upstreams;

/// Answers that are kept and calls that are under way.
pub(crate) struct Traffic {
    entries: Cache<Key, Arc<Entry>>,
    flights: Flights<Key, Fetched>,
    /// Answers to questions, for when nothing else answers.
    questions: Cache<Key, Arc<Kept>>,
    epochs: Epochs,
}

/// The answer to a question.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The whole body.
    pub body: Bytes,
    /// When it came.
    pub at: SystemTime,
}

/// What a call brought for all who wait for it.
#[derive(Clone)]
enum Fetched {
    /// An answer for all of them.
    Whole(Arc<Entry>),
    /// An answer for one of them; the others must ask themselves.
    ForOne(Arc<Mutex<Option<Response>>>),
    /// None.
    Failed(Arc<Error>),
}

impl Traffic {
    pub fn new(config: &CacheConfig) -> Self {
        let weigh = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        let lifetime = config.search.max(config.read) + config.stale;
        Self {
            entries: Cache::builder()
                .max_capacity(config.bytes.as_u64())
                .weigher(move |key: &Key, entry: &Arc<Entry>| weigh(key.size() + entry.size()))
                // A service may say that an answer lives longer; then it is forgotten earlier.
                .time_to_live(lifetime)
                .build(),
            questions: Cache::builder()
                .max_capacity(config.bytes.as_u64() / 4)
                .weigher(move |key: &Key, kept: &Arc<Kept>| weigh(key.size() + kept.body.len()))
                .time_to_live(config.questions)
                .build(),
            flights: Flights::default(),
            epochs: Epochs::new(),
        }
    }

    /// When what whoever sees changes.
    pub const fn epochs(&self) -> &Epochs {
        &self.epochs
    }
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traffic")
            .field("entries", &self.entries.entry_count())
            .finish_non_exhaustive()
    }
}

pub(crate) use epochs::is_write;
