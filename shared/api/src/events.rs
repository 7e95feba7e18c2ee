//! What goes over the bus.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use touchstone_types::{DocumentId, DocumentStatus, EventId, TenantId};

/// Topic of documents that wait for work, keyed by document.
pub const DOCUMENT_WORK: &str = "document.work";
/// Topic of documents that changed their state, keyed by document.
pub const DOCUMENT_STATUS: &str = "document.status";
/// Topic of what is recorded for statistics, in batches, keyed by the process that recorded.
pub const ANALYTICS: &str = "analytics.records";
/// Topic of posts of Telegram channels, keyed by tenant, channel and post.
pub const TELEGRAM_POSTS: &str = "telegram.posts";

/// Partitions of a topic that is created: so many consumers can share its work.
pub fn partitions(topic: &str) -> i32 {
    match topic {
        DOCUMENT_WORK | DOCUMENT_STATUS | TELEGRAM_POSTS => 8,
        _ => 4,
    }
}

/// An event on the bus: the envelope is the same for every topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Id; a consumer's inbox is keyed by it.
    pub id: EventId,
    /// Topic.
    pub topic: String,
    /// Events of one key stay in order.
    pub key: String,
    /// When the fact became true.
    pub at: DateTime<Utc>,
    /// Trace of the request that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The fact.
    pub payload: serde_json::Value,
}

/// On [`DOCUMENT_WORK`]: a version of a document wants to be indexed, or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentWork {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Document.
    pub document_id: DocumentId,
    /// Version.
    pub version: u32,
    /// What is to be done.
    pub action: WorkAction,
}

/// On [`TELEGRAM_POSTS`]: what a tenant is to find of a post, or of an album, which is one document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelegramPost {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Bare id of the channel.
    pub channel_id: i64,
    /// Number of the post; of an album, its first one.
    pub message_id: i32,
    /// What is to be found; nothing any more when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TelegramText>,
}

/// A post's text, with what is told about it beside an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelegramText {
    /// Text; of an album, all of its texts.
    pub text: String,
    /// Title of the channel.
    pub channel_title: String,
    /// Link to the post.
    pub url: String,
    /// When it was posted, RFC 3339 in UTC.
    pub date: String,
    /// The post that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<i32>,
    /// SHA-256 of all of this, hex.
    pub digest: String,
}

/// What is to be done to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkAction {
    /// Parse, chunk, embed, index.
    Ingest,
    /// Remove every trace from the index.
    Remove,
}

/// On [`DOCUMENT_STATUS`]: a document changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentStatusChanged {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Document.
    pub document_id: DocumentId,
    /// Version.
    pub version: u32,
    /// The state that was entered.
    pub status: DocumentStatus,
}
