//! What tells the workers that there is work: the bus, and a look at the table now and then.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use touchstone_api::events::DocumentWork;
use touchstone_error::chain;
use touchstone_events::{Delivery, Subscription};
use touchstone_types::EventId;

use super::Ingestor;

/// Events whose inbox entries share a transaction.
const BATCH: usize = 256;
/// How often the queue is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// How often what is too old is forgotten.
const PRUNE_EVERY: Duration = Duration::from_mins(10);

impl Ingestor {
    /// Takes events from the bus until the soft stop. They are acknowledged only when their inbox
    /// entries are committed.
    pub(crate) async fn listen(self, mut subscription: Subscription) {
        let stop = self.0.life.soft_stop();
        loop {
            let Some(first) = stop.run_until_cancelled(subscription.next()).await else {
                return;
            };
            let first = match first {
                Ok(delivery) => delivery,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "the bus gives no events");
                    let pause = tokio::time::sleep(self.0.config.backoff_most);
                    stop.run_until_cancelled(pause).await;
                    continue;
                }
            };
            let mut deliveries = vec![first];
            while deliveries.len() < BATCH {
                match subscription.next().now_or_never() {
                    Some(Ok(delivery)) => deliveries.push(delivery),
                    _ => break,
                }
            }
            if stop
                .run_until_cancelled(self.announce(readable(&deliveries)))
                .await
                .is_none()
            {
                return;
            }
            deliveries.into_iter().for_each(Delivery::ack);
        }
    }

    async fn announce(&self, events: Vec<(EventId, DocumentWork)>) {
        let mut failures = 0;
        loop {
            match self.0.store.announce(&events, self.0.clock.now()).await {
                Ok(visible) => {
                    if visible > 0 {
                        self.0.wake.wake();
                    }
                    return;
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(error = %chain(&error), "events cannot be noted, trying again");
                    let pause = self.0.config.backoff().delay(failures, self.dice());
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Looks at the table until the soft stop: for work that became visible by itself, for the
    /// gauges, and for what is too old.
    pub(crate) async fn sweep(self, forget_after: Duration) {
        let stop = self.0.life.soft_stop();
        let (mut measured, mut pruned) = (None::<Instant>, Instant::now());
        loop {
            match self.0.store.has_work(self.0.clock.now()).await {
                Ok(true) => self.0.wake.wake(),
                Ok(false) => {}
                Err(error) => tracing::warn!(error = %chain(&error), "the queue cannot be read"),
            }
            if measured.is_none_or(|at| at.elapsed() >= MEASURE_EVERY) {
                measured = Some(Instant::now());
                self.measure().await;
            }
            if pruned.elapsed() >= PRUNE_EVERY {
                pruned = Instant::now();
                if let Err(error) = self.0.store.prune(self.0.clock.now(), forget_after).await {
                    tracing::warn!(error = %chain(&error), "old keys cannot be forgotten");
                }
            }
            let pause = tokio::time::sleep(self.0.config.sweep_every);
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    async fn measure(&self) {
        self.measure_bus();
        let Ok(stats) = self.0.store.stats().await else {
            return;
        };
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let age = stats
            .oldest
            .map_or(0, |oldest| (self.0.clock.now() - oldest).num_seconds());
        self.0.metrics.queue_depth.set(gauge(stats.queued));
        self.0.metrics.queue_age.set(age.max(0));
        self.0.metrics.dead_letters.set(gauge(stats.dead_letters));
    }
}

impl Ingestor {
    fn measure_bus(&self) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let bus = self.0.events.state();
        let lag = bus.groups.iter().map(|group| group.lag).sum();
        self.0.metrics.consumer_lag.set(gauge(lag));
        self.0
            .metrics
            .relay_backlog
            .set(gauge(self.0.backlog.events()));
        let connected = bus.connected.unwrap_or(true);
        self.0.metrics.bus_connected.set(i64::from(connected));
    }
}

/// The work that the events tell; what is no work is skipped.
fn readable(deliveries: &[Delivery]) -> Vec<(EventId, DocumentWork)> {
    let read = |delivery: &Delivery| {
        let event = delivery.event();
        serde_json::from_value(event.payload.clone())
            .inspect_err(|error| {
                tracing::warn!(event.id = %event.id, error = %error, "an event is not readable");
            })
            .ok()
            .map(|work| (event.id, work))
    };
    deliveries.iter().filter_map(read).collect()
}
