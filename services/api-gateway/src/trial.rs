//! Whether the configured server takes what this service will ask of it.

use touchstone_lifecycle::trial::Mistake;

use crate::Config;

/// A first look at the Redis server that `config` names, if it names one.
///
/// # Errors
/// [`Mistake`], without the password.
pub async fn trial(config: &Config) -> Result<(), Mistake> {
    touchstone_cache::trial(config.quota.store.expose()).await
}
