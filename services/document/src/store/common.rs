//! What the backends share: words, events, errors.

use touchstone_api::events::{
    DOCUMENT_STATUS, DOCUMENT_WORK, DocumentStatusChanged, DocumentWork, Event, WorkAction,
};
use touchstone_types::{DocumentId, DocumentStatus, TenantId};

use super::{Error, Stamp};

/// Name of the consumer in the inbox.
pub const CONSUMER: &str = "document.ingest";

/// A document whose work is queued.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// Tenant.
    pub tenant: TenantId,
    /// Document.
    pub id: DocumentId,
    /// Version.
    pub version: u32,
}

impl Subject {
    /// Tells the bus that there is work.
    pub fn work_event(&self, action: WorkAction, stamp: &Stamp) -> Result<Event, Error> {
        let work = DocumentWork {
            tenant_id: self.tenant,
            document_id: self.id,
            version: self.version,
            action,
        };
        self.event(DOCUMENT_WORK, work, stamp)
    }

    /// Tells the bus that the document changed its state.
    pub fn status_event(&self, status: DocumentStatus, stamp: &Stamp) -> Result<Event, Error> {
        let changed = DocumentStatusChanged {
            tenant_id: self.tenant,
            document_id: self.id,
            version: self.version,
            status,
        };
        self.event(DOCUMENT_STATUS, changed, stamp)
    }

    fn event(
        &self,
        topic: &str,
        payload: impl serde::Serialize,
        stamp: &Stamp,
    ) -> Result<Event, Error> {
        Ok(Event {
            id: stamp.event,
            topic: topic.to_owned(),
            key: self.id.to_string(),
            at: stamp.at,
            traceparent: stamp.traceparent.clone(),
            payload: serde_json::to_value(payload).map_err(corrupt)?,
        })
    }
}

/// The word for an action.
pub const fn action_word(action: WorkAction) -> &'static str {
    match action {
        WorkAction::Ingest => "ingest",
        WorkAction::Remove => "remove",
    }
}

/// What is stored does not read back.
pub fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Corrupt(sqlx::Error::Decode(Box::new(error)))
}

/// Reads a word of one of the closed lists.
pub fn word<T: std::str::FromStr<Err = String>>(text: &str) -> Result<T, Error> {
    text.parse()
        .map_err(|message: String| corrupt(std::io::Error::other(message)))
}
