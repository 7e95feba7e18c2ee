//! Telling tenants of what they parsed, and of what was there when they began to follow: their events are
//! made from the stored posts, a few at a time, while the bus takes them.

use std::time::Duration;

use touchstone_error::chain;

use super::Mirror;
use crate::Error;

/// Numbers that are told of in one transaction.
const ANNOUNCED: i32 = 500;

/// Events that may wait in the outbox before more are made: there they hold their texts once more, and
/// whoever comes later with little waits behind them.
const WAITING: u64 = 2_000;

/// How often to look whether the outbox has room.
const FULL: Duration = Duration::from_millis(100);

/// The pause after a failure.
const FAILED: Duration = Duration::from_secs(1);

impl Mirror {
    /// Tells whatever is wanted, until the soft stop. `again` is whether it starts over.
    pub(super) async fn tell(self, again: bool) {
        let stop = self.0.life.soft_stop();
        // Whatever is cut off is told next time.
        stop.run_until_cancelled(async {
            let mut again = again;
            loop {
                let pause = match self.tell_some(again).await {
                    Ok(pause) => {
                        again = false;
                        pause
                    }
                    Err(error) => {
                        tracing::warn!(
                            error = %chain(&error),
                            "what is wanted cannot be told of, trying again"
                        );
                        FAILED
                    }
                };
                tokio::select! {
                    () = self.0.wanted.notified() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
        })
        .await;
    }

    /// Tells as much as there is room for; the time until the next look.
    async fn tell_some(&self, again: bool) -> Result<Duration, Error> {
        let store = &self.0.store;
        if again {
            store.tell_again().await?;
        }
        let outbox = store.outbox();
        loop {
            if outbox.backlog().await? >= WAITING {
                return Ok(FULL);
            }
            match store.tell(ANNOUNCED, &self.stamp()).await? {
                Some(events) if events > 0 => self.0.waker.wake(),
                Some(_) => {}
                // What another instance left is found by looking.
                None => return Ok(self.0.poll),
            }
        }
    }
}
