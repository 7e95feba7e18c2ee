//! Who may use the account: Telegram burns a session that is used from two addresses at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use touchstone_error::chain;
use touchstone_types::Clock;

use super::Instance;
use crate::store::Store;

/// How long a lease holds without being extended.
const TIME: Duration = Duration::from_secs(15);

/// How often it is extended, and asked for by those who wait.
pub(super) const EVERY: Duration = Duration::from_secs(4);

/// How long the store may take to answer: others write to it, too. Between two extensions that succeed
/// one may fail.
const ANSWER: Duration = Duration::from_secs(3);

/// The lease of an account.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub store: Arc<dyn Store>,
    /// Name of the account, which tells nothing of its key.
    pub account: String,
    /// Who has it.
    pub instance: Arc<Instance>,
    pub clock: Arc<dyn Clock>,
}

impl Lease {
    /// Takes or extends it; `None` when nobody can say whose it is.
    pub(super) async fn hold(&self) -> Option<bool> {
        let now = self.clock.now();
        let held = self
            .store
            .hold(&self.account, self.instance.id(), now, TIME);
        match tokio::time::timeout(ANSWER, held).await {
            Ok(Ok(held)) => Some(held),
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "the lease of the account cannot be had");
                None
            }
            Err(_) => None,
        }
    }

    /// Extends it until it is lost, or may be.
    pub(super) async fn keep(&self) {
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(EVERY).await;
            match self.hold().await {
                Some(true) => last = Instant::now(),
                Some(false) => return,
                // Before the time is over, since nobody else waits longer.
                None if last.elapsed() + EVERY + ANSWER >= TIME => return,
                None => {}
            }
        }
    }

    /// Gives it back, so that another instance need not wait.
    pub(super) async fn release(&self) {
        let released = self.store.release(&self.account, self.instance.id());
        // Without an answer it runs out by itself.
        let _ = tokio::time::timeout(ANSWER, released).await;
    }
}
