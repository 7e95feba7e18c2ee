use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use touchstone_error::chain;
use touchstone_lifecycle::Lifecycle;
use touchstone_store::Outbox;
use touchstone_types::Clock;

use crate::{Backoff, EventBus};

/// How a relay works.
#[derive(Clone, Copy, Debug)]
pub struct RelayOptions {
    /// Events that are published at once.
    pub batch: u32,
    /// How often to look without being woken.
    pub poll: Duration,
    /// How long events that were sent are kept.
    pub keep: Duration,
    /// How often events that were sent are removed.
    pub prune: Duration,
    /// Pauses after a failure.
    pub backoff: Backoff,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            batch: 256,
            poll: Duration::from_secs(1),
            keep: Duration::from_hours(24),
            prune: Duration::from_mins(10),
            backoff: Backoff::default(),
        }
    }
}

/// Wakes a relay; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Waker(Arc<Notify>);

impl Waker {
    /// Something was committed. Never waits; a relay at work looks once more.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// How much a relay could not send; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Backlog(Arc<AtomicU64>);

impl Backlog {
    /// Events that waited when the relay last failed; none once it sent everything.
    pub fn events(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Publishes what waits in an outbox. Several relays on one outbox are safe: events may be
/// published twice, and never get lost or change their order.
pub struct Relay {
    outbox: Arc<dyn Outbox>,
    bus: Arc<dyn EventBus>,
    clock: Arc<dyn Clock>,
    options: RelayOptions,
    waker: Waker,
    backlog: Backlog,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Relay {
    /// A relay from `outbox` to `bus`.
    pub fn new(
        outbox: Arc<dyn Outbox>,
        bus: Arc<dyn EventBus>,
        clock: Arc<dyn Clock>,
        options: RelayOptions,
    ) -> Self {
        Self {
            outbox,
            bus,
            clock,
            options,
            waker: Waker::default(),
            backlog: Backlog::default(),
        }
    }

    /// What a service calls after a commit that appended events.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// What the relay tells of its backlog.
    pub fn backlog(&self) -> Backlog {
        self.backlog.clone()
    }

    /// Works in a tracked task until the soft stop. Subscribe first: a bus hands an event only to
    /// groups that exist.
    pub fn start(self, name: impl Into<String>, life: &Lifecycle) {
        let stop = life.soft_stop();
        life.spawn(name, async move {
            // The soft stop may cut a round anywhere: what was not marked is sent again.
            stop.run_until_cancelled(self.run()).await;
        });
    }

    async fn run(self) {
        let mut failures = 0;
        let mut prune = tokio::time::interval(self.options.prune);
        prune.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let pause = match self.drain().await {
                Ok(()) => {
                    failures = 0;
                    self.backlog.0.store(0, Ordering::Relaxed);
                    self.options.poll
                }
                Err(error) => {
                    failures += 1;
                    if let Ok(waiting) = self.outbox.backlog().await {
                        self.backlog.0.store(waiting, Ordering::Relaxed);
                    }
                    tracing::warn!(error, failures, "relaying events failed, trying again");
                    tokio::time::sleep(self.options.backoff.after(failures)).await;
                    continue;
                }
            };
            tokio::select! {
                () = self.waker.0.notified() => {}
                () = tokio::time::sleep(pause) => {}
                _ = prune.tick() => self.prune().await,
            }
        }
    }

    /// Publishes until nothing is pending.
    async fn drain(&self) -> Result<(), String> {
        loop {
            let events = self
                .outbox
                .pending(self.options.batch)
                .await
                .map_err(|e| chain(&e).to_string())?;
            if events.is_empty() {
                return Ok(());
            }
            let ids: Vec<_> = events.iter().map(|event| event.id).collect();
            self.bus
                .publish(events)
                .await
                .map_err(|e| chain(&e).to_string())?;
            let sent = self.outbox.mark_sent(&ids, self.clock.now()).await;
            sent.map_err(|e| chain(&e).to_string())?;
        }
    }

    async fn prune(&self) {
        let before = self.clock.now() - self.options.keep;
        if let Err(error) = self.outbox.prune(before).await {
            tracing::warn!(error = %chain(&error), "removing sent events failed");
        }
    }
}
