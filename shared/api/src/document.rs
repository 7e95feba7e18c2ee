//! document: upload, parse, chunk, life cycle.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use touchstone_types::{ChunkId, DocumentId, DocumentStatus, Source};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, ToSchema};

/// Free facts about a document, text to text; at most 32 pairs.
pub type Metadata = BTreeMap<String, String>;

/// The schema of [`Metadata`] in a request; the derived one cannot bound it.
pub fn metadata_schema() -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let names = text()
        .min_length(Some(1))
        .max_length(Some(64))
        .pattern(Some(r"^[^\x00-\x1f\x7f-\x9f]+$"));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Free facts, text to text."))
        .max_properties(Some(32))
        .property_names(Some(names))
        .additional_properties(Some(AdditionalProperties::RefOr(
            text().max_length(Some(1024)).into(),
        )))
        .into()
}

/// The schema of the facts that a filter asks for.
pub(crate) fn filter_schema() -> Schema {
    let text = ObjectBuilder::new().schema_type(Type::String);
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Every one of these facts."))
        .max_properties(Some(100))
        .additional_properties(Some(AdditionalProperties::RefOr(text.into())))
        .into()
}

/// `POST /documents` and `PUT /documents/{id}` with a JSON body.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDocumentRequest {
    /// File name; its ending decides the format when `mime` is absent.
    #[schema(
        min_length = 1,
        max_length = 255,
        examples("notes.md"),
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    pub filename: String,
    /// The text. Binary formats are sent as multipart.
    #[schema(min_length = 1)]
    pub content: String,
    /// Media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        max_length = 255,
        pattern = r"^ *[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+ *(;[ -~]*)?$"
    )]
    pub mime: Option<String>,
    /// Language (ISO 639-1); detected when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 2, max_length = 3, pattern = "^[A-Za-z]{2,3}$")]
    pub language: Option<String>,
    /// Free facts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(schema_with = metadata_schema)]
    pub metadata: Metadata,
}

/// 202: accepted means durable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AcceptedDocument {
    /// The document.
    pub id: DocumentId,
    /// Its version, from 1.
    pub version: u32,
    /// Where it stands.
    pub status: DocumentStatus,
}

/// Why a document failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// Stable code.
    pub code: String,
    /// In words.
    pub message: String,
}

/// A document, without its text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Document {
    /// Id.
    pub id: DocumentId,
    /// File name as given.
    pub filename: String,
    /// First heading or the file name.
    pub title: String,
    /// Media type.
    pub mime: String,
    /// Language (ISO 639-1), `und` when unknown.
    pub language: String,
    /// Where it came from.
    pub source: Source,
    /// Where it stands.
    pub status: DocumentStatus,
    /// Present when `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Current version, from 1.
    pub version: u32,
    /// Size of the original in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the original, hex.
    pub sha256: String,
    /// Chunks of the current version.
    pub chunk_count: u32,
    /// Free facts.
    pub metadata: Metadata,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Filters of `GET /documents`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListDocumentsQuery {
    /// Only this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<DocumentStatus>,
    /// Only this origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Only created at or after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_after: Option<DateTime<Utc>>,
    /// Only created before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_before: Option<DateTime<Utc>>,
    /// Items per page, 1 to 200 (default 50).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A chunk: a sentence-aligned piece of a document's text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Chunk {
    /// Id.
    pub id: ChunkId,
    /// Position in the document, from 0.
    pub ordinal: u32,
    /// First byte in the stored text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// The text: exactly those bytes.
    pub text: String,
    /// Heading above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heading: Option<String>,
}

/// One step in a document's life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimelineEntry {
    /// When.
    pub at: DateTime<Utc>,
    /// Version concerned.
    pub version: u32,
    /// The state that was entered.
    pub status: DocumentStatus,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// More, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Answer of `GET /documents/{id}/timeline`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timeline {
    /// Oldest first.
    pub items: Vec<TimelineEntry>,
}

/// `POST /documents/passages`: texts around spans, for context assembly.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PassagesRequest {
    /// Up to 100 spans.
    #[schema(min_items = 1, max_items = 100)]
    pub spans: Vec<PassageSpan>,
    /// Grow each span by whole neighbouring sentences to at most this many bytes; 0 leaves it alone.
    #[serde(default, deserialize_with = "crate::whole::required")]
    #[schema(maximum = 20000)]
    pub grow_to: usize,
}

/// A place in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PassageSpan {
    /// Document.
    pub document_id: DocumentId,
    /// Version that the offsets belong to.
    #[serde(deserialize_with = "crate::whole::required")]
    #[schema(value_type = usize)]
    pub version: u32,
    /// First byte.
    #[serde(deserialize_with = "crate::whole::required")]
    pub start: usize,
    /// One past the last byte.
    #[serde(deserialize_with = "crate::whole::required")]
    pub end: usize,
}

/// Answer of `POST /documents/passages`, in the order asked for. A span of a deleted document or
/// of an old version yields `null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PassagesResponse {
    /// One entry per span.
    pub passages: Vec<Option<Passage>>,
}

/// A piece of a document's stored text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Passage {
    /// Document.
    pub document_id: DocumentId,
    /// Its title.
    pub title: String,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Exactly those bytes.
    pub text: String,
}

/// A document that the worker gave up on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// Document.
    pub document_id: DocumentId,
    /// Version.
    pub version: u32,
    /// Why.
    pub failure: Failure,
    /// Attempts made.
    pub attempts: u32,
    /// When it was given up.
    pub at: DateTime<Utc>,
}

/// `POST /documents/reindex`: writes the index anew from the stored documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReindexRequest {
    /// Drop the collection first, so that another dense model can take its place. Services only.
    #[serde(default)]
    pub collection_reset: bool,
}

/// Answer of `POST /documents/reindex`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReindexResponse {
    /// Documents that were queued.
    pub documents: u64,
}
