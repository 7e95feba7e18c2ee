//! Forgets records that are older than they are kept.

use std::sync::Arc;
use std::time::Duration;

use touchstone_error::chain;
use touchstone_types::Clock;

use crate::store::Store;

/// How often old records are forgotten.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// Looks again every hour, without end.
pub(crate) async fn forget(store: Arc<dyn Store>, clock: Arc<dyn Clock>, retention: Duration) {
    loop {
        tokio::time::sleep(FORGET_EVERY).await;
        if let Err(error) = store.forget_before(clock.now() - retention).await {
            tracing::warn!(error = %chain(&error), "old records could not be forgotten");
        }
    }
}
