//! Whether the configured server takes what this service will ask of it.

use touchstone_lifecycle::trial::Mistake;

use crate::store::ClickHouseStore;
use crate::{Collector, Config};

/// A first look at the ClickHouse server that `config` names, if it names one.
///
/// # Errors
/// [`Mistake`], without the password.
pub async fn trial(config: &Config) -> Result<(), Mistake> {
    match config.clickhouse_url() {
        Some(url) if config.collector == Collector::Store => {
            let store = ClickHouseStore::new(&url, &config.clickhouse, config.retention);
            store.trial(&url).await
        }
        _ => Ok(()),
    }
}
