use std::sync::Arc;

use touchstone_lifecycle::Lifecycle;
use touchstone_types::Clock;
use touchstone_web::HealthReport;

use super::qdrant::is_qdrant;
use super::{BehindStore, EmbeddedStore, QdrantStore, VectorStore};
use crate::config::Config;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::pool::CpuPool;

/// The store that the configuration's URI names.
#[derive(Clone, Debug)]
pub enum Backend {
    /// Rows of SQLite and an index in memory.
    Embedded(EmbeddedStore),
    /// A Qdrant server.
    Qdrant(QdrantStore),
}

impl Backend {
    /// Opens it; what it waits for stands in the gates of `life`.
    ///
    /// # Errors
    /// When the rows cannot be opened or the URI does not parse. A server that is away is no
    /// error: the gate opens when it comes.
    pub async fn open(
        config: &Config,
        pool: CpuPool,
        life: &Lifecycle,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        if is_qdrant(&config.store) {
            let options = config.qdrant.options();
            let store = QdrantStore::open(&config.store, options, life, metrics)?;
            return Ok(Self::Qdrant(store));
        }
        let bytes = config.payload_cache.as_u64();
        let store = EmbeddedStore::open(&config.store, bytes, pool, life, clock, metrics).await?;
        Ok(Self::Embedded(store))
    }

    /// The store itself; one that can fall behind when such faults can be asked for.
    pub fn store(&self) -> Arc<dyn VectorStore> {
        let store: Arc<dyn VectorStore> = match self {
            Self::Embedded(store) => Arc::new(store.clone()),
            Self::Qdrant(store) => Arc::new(store.clone()),
        };
        if touchstone_faults::are_possible() {
            Arc::new(BehindStore::new(store))
        } else {
            store
        }
    }

    /// How it is.
    pub async fn health(&self) -> HealthReport {
        match self {
            Self::Embedded(store) => {
                let (index, rows) = (store.is_ready(), store.ping().await);
                HealthReport::healthy()
                    .with("backend", "embedded")
                    .with("store_connected", rows)
                    .with("index_loaded", index)
                    .degraded_unless(index && rows)
            }
            Self::Qdrant(store) => {
                let (ready, answers) = (store.is_ready(), store.ping().await);
                HealthReport::healthy()
                    .with("backend", "qdrant")
                    .with("store_connected", answers)
                    .degraded_unless(ready && answers)
            }
        }
    }
}
