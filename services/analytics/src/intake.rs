//! What comes over the bus.

use std::sync::Arc;

use async_trait::async_trait;
use touchstone_api::analytics::{IngestionRecord, Record, RecordBatch};
use touchstone_api::events::{ANALYTICS, DOCUMENT_STATUS, DocumentStatusChanged, Event};
use touchstone_events::{Consumer, Error, EventBus, Failure, Handler};
use touchstone_lifecycle::Lifecycle;

use crate::domain::Row;
use crate::spool::Spool;

/// Puts what comes into the spool, at once.
#[derive(Clone, Debug)]
pub struct Intake(Arc<Spool>);

impl Intake {
    /// Subscribes to everything that is recorded.
    ///
    /// # Errors
    /// When the bus does not take the subscription.
    pub async fn start(
        spool: &Arc<Spool>,
        bus: &dyn EventBus,
        life: &Lifecycle,
    ) -> Result<(), Error> {
        for topic in [ANALYTICS, DOCUMENT_STATUS] {
            let handler = Arc::new(Self(Arc::clone(spool)));
            Consumer::new(topic, format!("analytics.{topic}"))
                .start(bus, handler, life)
                .await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Handler for Intake {
    async fn handle(&self, event: &Event) -> Result<(), Failure> {
        let payload = event.payload.clone();
        let lasting = |error: serde_json::Error| Failure::Lasting(Box::new(error));
        let records = if event.topic == ANALYTICS {
            let batch: RecordBatch = serde_json::from_value(payload).map_err(lasting)?;
            batch.records
        } else {
            let changed: DocumentStatusChanged =
                serde_json::from_value(payload).map_err(lasting)?;
            vec![Record::Ingestion(IngestionRecord {
                at: event.at,
                tenant_id: changed.tenant_id,
                document_id: changed.document_id,
                version: changed.version,
                status: changed.status,
            })]
        };
        self.0.push(Row::of_event(*event.id.as_uuid(), records));
        Ok(())
    }

    async fn give_up(&self, event: &Event, failure: &Failure) {
        tracing::warn!(
            event.id = %event.id, event.topic = event.topic, error = %failure,
            "an event for the statistics does not decode"
        );
    }
}
