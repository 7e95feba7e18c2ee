//! vector: tenant-safe collections. The tenant is the caller's, never a field of a request.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use touchstone_types::{ChunkId, DocumentId, Source, SparseVector};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, AllOfBuilder, ArrayBuilder, ObjectBuilder, Ref, Schema, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::document::Metadata;

/// Dense side of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DenseConfig {
    /// Model that makes the vectors; another one is refused.
    #[schema(
        min_length = 1,
        max_length = 256,
        pattern = r"^[^\x00]*[^\s\x00][^\x00]*$"
    )]
    pub model: String,
    /// Length of a vector.
    #[schema(minimum = 1, maximum = 8192)]
    #[serde(deserialize_with = "crate::whole::required")]
    pub dimension: usize,
}

/// `PUT /collections/{name}`: creates it, or confirms that it is as described.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateCollectionRequest {
    /// Dense vectors (cosine), if any. A collection without may gain them once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dense: Option<DenseConfig>,
    /// Names of the sparse vectors; each is scored with an IDF modifier. Needed without `dense`.
    #[serde(default)]
    #[schema(schema_with = sparse_names)]
    pub sparse: Vec<String>,
}

/// The derived schema bounds neither the list nor the names.
fn sparse_names() -> Schema {
    let name = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[a-z0-9][a-z0-9_-]{0,63}$"));
    ArrayBuilder::new()
        .items(name)
        .max_items(Some(8))
        .unique_items(true)
        .into()
}

/// A collection, as the caller's tenant sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Collection {
    /// Name.
    pub name: String,
    /// Dense side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dense: Option<DenseConfig>,
    /// Sparse vectors.
    pub sparse: Vec<String>,
    /// Points of the caller's tenant.
    pub points: u64,
}

/// Answer of `GET /collections`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CollectionList {
    /// By name.
    pub items: Vec<Collection>,
}

/// What a point knows of its chunk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// Document.
    pub document_id: DocumentId,
    /// Its version.
    #[serde(deserialize_with = "crate::whole::required")]
    #[schema(value_type = usize)]
    pub version: u32,
    /// Position in the document.
    #[serde(deserialize_with = "crate::whole::required")]
    #[schema(value_type = usize)]
    pub ordinal: u32,
    /// First byte in the stored text.
    #[serde(deserialize_with = "crate::whole::required")]
    pub start: usize,
    /// One past the last byte.
    #[serde(deserialize_with = "crate::whole::required")]
    pub end: usize,
    /// The chunk's text.
    pub text: String,
    /// The document's title.
    pub title: String,
    /// Heading above the chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heading: Option<String>,
    /// Language (ISO 639-1).
    pub language: String,
    /// Origin.
    pub source: Source,
    /// When the document was accepted.
    pub created_at: DateTime<Utc>,
    /// The document's free facts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: Metadata,
}

/// A point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Derived from document, version, ordinal and model, so that a repeat overwrites.
    pub id: ChunkId,
    /// What it stands for.
    pub payload: Payload,
    /// `[dimension]`, L2-normalised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dense: Option<Vec<f32>>,
    /// Sparse vectors by name.
    #[serde(default)]
    pub sparse: BTreeMap<String, SparseVector>,
}

/// `POST /collections/{name}/points`; all or nothing, durable when answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpsertRequest {
    /// 1 to 1,000 points.
    #[schema(min_items = 1, max_items = 1000)]
    pub points: Vec<Point>,
}

/// Answer of `POST /collections/{name}/points`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpsertResponse {
    /// Points written.
    pub upserted: usize,
}

/// Narrows a query, a count, a scroll or a deletion. Fields are ANDed, values of a list are ORed;
/// the tenant of the caller is always ANDed on top.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Only these documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 1000)]
    pub document_ids: Option<Vec<DocumentId>>,
    /// Only this version (with `document_ids`: the write side's count-back).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "crate::whole::optional")]
    #[schema(value_type = Option<usize>)]
    pub version: Option<u32>,
    /// Only versions before this one (the write side's clean-up).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "crate::whole::optional")]
    #[schema(value_type = Option<usize>)]
    pub version_below: Option<u32>,
    /// Only these languages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    pub languages: Option<Vec<String>>,
    /// Only these origins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    pub sources: Option<Vec<Source>>,
    /// Only documents accepted at or after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_after: Option<DateTime<Utc>>,
    /// Only documents accepted before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_before: Option<DateTime<Utc>>,
    /// Every one of these facts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(schema_with = crate::document::filter_schema)]
    pub metadata: Metadata,
}

/// One search signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum QueryVector {
    /// Cosine against the dense vectors.
    Dense(Vec<f32>),
    /// Dot product with IDF against the named sparse vectors.
    Sparse(NamedSparseVector),
}

/// A sparse query and the vectors it is meant for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedSparseVector {
    /// Which sparse vectors.
    pub name: String,
    /// The query.
    pub vector: SparseVector,
}

/// `POST /collections/{name}/query`: several signals in one round trip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryRequest {
    /// 1 to 8 signals.
    #[schema(min_items = 1, max_items = 8)]
    pub queries: Vec<QueryVector>,
    /// Best points per signal, 1 to 1,000.
    #[schema(minimum = 1, maximum = 1000)]
    #[serde(deserialize_with = "crate::whole::required")]
    pub limit: usize,
    /// Narrows all signals.
    #[serde(default)]
    pub filter: Filter,
    /// Score every returned point on every signal, not only on those that found it.
    #[serde(default)]
    pub complete_scores: bool,
    /// Return payloads.
    #[serde(default)]
    pub with_payload: bool,
}

/// A point and its score on one signal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScoredPoint {
    /// Point.
    pub id: ChunkId,
    /// Dot product (sparse) or cosine (dense).
    pub score: f32,
}

/// Answer of `POST /collections/{name}/query`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueryResponse {
    /// One list per signal, best first, ties by id ascending. With `complete_scores` the points
    /// that only other signals found follow after the first `limit`, scored, in the same order.
    pub results: Vec<Vec<ScoredPoint>>,
    /// Payloads of all returned points, when asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub payloads: BTreeMap<ChunkId, Payload>,
}

/// `POST /collections/{name}/scroll`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScrollRequest {
    /// Narrows the list.
    #[serde(default)]
    pub filter: Filter,
    /// Points per page, 1 to 1,000 (default 100).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    #[serde(deserialize_with = "crate::whole::optional")]
    pub limit: Option<usize>,
    /// Continue after this point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ChunkId>,
    /// Return vectors too.
    #[serde(default)]
    pub with_vectors: bool,
}

/// Answer of `POST /collections/{name}/scroll`; points ascending by id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScrollResponse {
    /// Points; vectors are empty unless asked for.
    pub points: Vec<Point>,
    /// `after` of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<ChunkId>,
}

/// `POST /collections/{name}/count` and `/points/delete`, which needs a [`Deletion`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterRequest {
    /// Which points.
    #[serde(default)]
    pub filter: Filter,
}

/// The specification of a [`FilterRequest`] that names documents.
#[derive(Clone, Copy, Debug)]
pub struct Deletion;

impl PartialSchema for Deletion {
    fn schema() -> RefOr<Schema> {
        let id = Ref::from_schema_name(DocumentId::name());
        let documents = ArrayBuilder::new()
            .items(id)
            .min_items(Some(1))
            .max_items(Some(1000));
        let named = ObjectBuilder::new()
            .property("document_ids", documents)
            .required("document_ids");
        let filter = AllOfBuilder::new()
            .item(Ref::from_schema_name(Filter::name()))
            .item(named);
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("Which points; the filter must name documents."))
            .property("filter", filter)
            .required("filter")
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .into()
    }
}

impl ToSchema for Deletion {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Filter::name().into_owned(), Filter::schema()));
        schemas.push((DocumentId::name().into_owned(), DocumentId::schema()));
        Filter::schemas(schemas);
    }
}

/// Answer of `/count` and `/points/delete`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CountResponse {
    /// Points counted or removed.
    pub count: u64,
}
