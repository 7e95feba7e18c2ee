//! Takes what the services of this process recorded to the bus.

use std::sync::Arc;
use std::time::Duration;

use touchstone_api::analytics::{Record, RecordBatch};
use touchstone_api::events::{ANALYTICS, Event};
use touchstone_client::Recording;
use touchstone_error::chain;
use touchstone_events::EventBus;
use touchstone_lifecycle::Lifecycle;
use touchstone_types::{Clock, EventId, IdSource};

/// Records that may wait in this process; the next ones are dropped and counted.
pub(crate) const ROOM: usize = 8192;

/// Most records of an event.
const BATCH: usize = 1000;
/// How long the first record of an event waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// Pause before a batch is published again that the bus did not take.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the last batch may take when the stack stops.
const LAST_ATTEMPT: Duration = Duration::from_secs(1);

/// Publishes in batches until the soft stop, then what is left.
pub(crate) fn start(
    mut recording: Recording,
    bus: Arc<dyn EventBus>,
    ids: IdSource,
    clock: Arc<dyn Clock>,
    life: &Lifecycle,
) {
    let stop = life.soft_stop();
    life.spawn("stack.record", async move {
        let key = ids.next::<EventId>().to_string();
        let event = |records: Vec<Record>| Event {
            id: ids.next(),
            topic: ANALYTICS.to_owned(),
            key: key.clone(),
            at: clock.now(),
            traceparent: None,
            payload: serde_json::to_value(RecordBatch { records }).unwrap_or_default(),
        };
        loop {
            let next = stop
                .run_until_cancelled(recording.next(BATCH, LINGER))
                .await;
            match next {
                Some(records) if records.is_empty() => return,
                Some(records) => {
                    let event = event(records);
                    let published = stop.run_until_cancelled(publish(&*bus, &event)).await;
                    if published.is_none() {
                        break;
                    }
                }
                None => break,
            }
        }
        let rest = recording.rest();
        if !rest.is_empty() {
            // Statistics do not hold up the stop.
            let _ = tokio::time::timeout(LAST_ATTEMPT, publish(&*bus, &event(rest))).await;
        }
    });
}

/// Publishes until the bus takes it; meanwhile the recorder's room fills, and no more than that.
async fn publish(bus: &dyn EventBus, event: &Event) {
    let mut told = false;
    while let Err(error) = bus.publish(vec![event.clone()]).await {
        if !told {
            tracing::warn!(error = %chain(&error), "records for statistics wait for the bus");
            told = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
