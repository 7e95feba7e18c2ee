//! A point as Qdrant keeps it, and back.

use std::collections::{BTreeMap, HashMap};

use chrono::DateTime;
use qdrant_client::Payload as NativePayload;
use qdrant_client::qdrant::vector_output::Vector as NativeVector;
use qdrant_client::qdrant::{NamedVectors, RetrievedPoint, Value, Vector, VectorsOutput};
use serde::{Deserialize, Serialize};
use touchstone_api::document::Metadata;
use touchstone_api::vector::{Payload, Point};
use touchstone_types::{ChunkId, DocumentId, Source, SparseVector, TenantId};
use uuid::Uuid;

use crate::domain::{Definition, normalised};
use crate::error::Error;

/// Name of the dense vector; no name of a sparse one begins like that.
pub(super) const DENSE: &str = "_dense";

/// Largest difference between a vector and itself at length one that is not worth two copies.
const UNIT_TOLERANCE: f32 = 1e-6;

/// Fields of the payload that are asked for.
pub(super) mod field {
    /// Whose point.
    pub const TENANT: &str = "tenant_id";
    /// The chunk.
    pub const ID: &str = "id";
    /// The beginning of `id`, as a number that sorts like it.
    pub const RANK: &str = "rank";
    /// The document.
    pub const DOCUMENT: &str = "document_id";
    /// Its version.
    pub const VERSION: &str = "version";
    /// Language.
    pub const LANGUAGE: &str = "language";
    /// Origin.
    pub const SOURCE: &str = "source";
    /// Microseconds since 1970.
    pub const CREATED_AT: &str = "created_at";
    /// Name and value of each free fact, in one word.
    pub const FACTS: &str = "facts";
}

/// The payload of a point in Qdrant.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    tenant_id: TenantId,
    id: ChunkId,
    rank: i64,
    document_id: DocumentId,
    version: u32,
    ordinal: u32,
    start: usize,
    end: usize,
    text: String,
    title: String,
    #[serde(default)]
    heading: Option<String>,
    language: String,
    source: Source,
    created_at: i64,
    facts: Vec<String>,
    metadata: Metadata,
    /// What the vectors in Qdrant do not tell: JSON of [`Originals`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    originals: Option<String>,
}

/// Vectors that were written otherwise than Qdrant keeps them.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Originals {
    /// A dense vector that was not of length one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dense: Option<Vec<f32>>,
    /// Sparse vectors with weights of zero.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    sparse: BTreeMap<String, SparseVector>,
    /// Sparse vectors that the point does not have; Qdrant keeps an empty one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    absent: Vec<String>,
}

/// The id in Qdrant: tenants may have the same chunk, so it is derived from both. A caller
/// chooses the chunk's id; the hash keeps it from choosing another tenant's point.
pub(super) fn point_id(tenant: TenantId, chunk: ChunkId) -> Uuid {
    /// Names of points in Qdrant.
    const NAMESPACE: Uuid = Uuid::from_u128(0x8f3c_5d0e_6f1b_5d0a_9b5e_7f0d_3c2a_1e47);
    let mut name = [0_u8; 32];
    name[..16].copy_from_slice(tenant.as_uuid().as_bytes());
    name[16..].copy_from_slice(chunk.as_uuid().as_bytes());
    Uuid::new_v5(&NAMESPACE, &name)
}

/// A number that sorts like the id; ids that begin alike share it.
pub(super) fn rank(chunk: ChunkId) -> i64 {
    (chunk.as_uuid().as_u128() >> 65) as i64
}

/// A free fact as one word. The name's length keeps names and values apart.
pub(super) fn fact(name: &str, value: &str) -> String {
    format!("{}:{name}={value}", name.len())
}

/// A point that was checked: its payload and its vectors.
///
/// Every point gets every sparse vector of the definition, empty if need be: Qdrant counts the
/// points *with* a vector when it computes frequencies, the contract counts all of a tenant's.
pub(super) fn encode(
    tenant: TenantId,
    definition: &Definition,
    point: Point,
) -> (NativePayload, NamedVectors) {
    let Point {
        id,
        payload,
        dense,
        mut sparse,
    } = point;
    let mut originals = Originals::default();
    let mut vectors = NamedVectors::default();
    for name in &definition.sparse {
        let (indices, values) = match sparse.remove(name) {
            None => {
                originals.absent.push(name.clone());
                (Vec::new(), Vec::new())
            }
            Some(vector) if vector.values.contains(&0.0) => {
                // A weight of zero would count as an occurrence of the term.
                let kept = vector.iter().filter(|(_, weight)| *weight != 0.0).unzip();
                originals.sparse.insert(name.clone(), vector);
                kept
            }
            Some(vector) => (vector.indices, vector.values),
        };
        vectors = vectors.add_vector(name, Vector::new_sparse(indices, values));
    }
    if let Some(vector) = dense {
        let unit = normalised(&vector);
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= UNIT_TOLERANCE;
        let kept = if vector.iter().zip(&unit).all(near) {
            vector
        } else {
            originals.dense = Some(vector);
            unit
        };
        vectors = vectors.add_vector(DENSE, Vector::new_dense(kept));
    }
    let stored = Stored {
        tenant_id: tenant,
        id,
        rank: rank(id),
        document_id: payload.document_id,
        version: payload.version,
        ordinal: payload.ordinal,
        start: payload.start,
        end: payload.end,
        facts: payload
            .metadata
            .iter()
            .map(|(name, value)| fact(name, value))
            .collect(),
        text: payload.text,
        title: payload.title,
        heading: payload.heading,
        language: payload.language,
        source: payload.source,
        created_at: payload.created_at.timestamp_micros(),
        metadata: payload.metadata,
        originals: (originals != Originals::default())
            .then(|| serde_json::to_string(&originals).unwrap_or_default()),
    };
    let json = serde_json::to_value(stored).unwrap_or_default();
    (NativePayload::try_from(json).unwrap_or_default(), vectors)
}

/// The chunk of a point of which only the id was asked for.
pub(super) fn chunk(payload: &HashMap<String, Value>) -> Result<ChunkId, Error> {
    payload
        .get(field::ID)
        .and_then(|id| id.as_str())
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| corrupt("a point without a chunk"))
}

/// A point as it was written; its vectors only `with_vectors`.
pub(super) fn decode(
    definition: &Definition,
    point: RetrievedPoint,
    with_vectors: bool,
) -> Result<Point, Error> {
    let json = serde_json::Value::from(NativePayload::from(point.payload));
    let stored: Stored =
        serde_json::from_value(json).map_err(|_| corrupt("a payload that does not decode"))?;
    let (mut dense, mut sparse) = (None, BTreeMap::new());
    if with_vectors {
        let originals: Originals = match &stored.originals {
            Some(json) => {
                serde_json::from_str(json).map_err(|_| corrupt("vectors that do not decode"))?
            }
            None => Originals::default(),
        };
        (dense, sparse) = vectors(definition, point.vectors, originals);
    }
    Ok(Point {
        id: stored.id,
        payload: Payload {
            document_id: stored.document_id,
            version: stored.version,
            ordinal: stored.ordinal,
            start: stored.start,
            end: stored.end,
            text: stored.text,
            title: stored.title,
            heading: stored.heading,
            language: stored.language,
            source: stored.source,
            created_at: DateTime::from_timestamp_micros(stored.created_at)
                .ok_or_else(|| corrupt("a time out of range"))?,
            metadata: stored.metadata,
        },
        dense,
        sparse,
    })
}

fn vectors(
    definition: &Definition,
    found: Option<VectorsOutput>,
    mut originals: Originals,
) -> (Option<Vec<f32>>, BTreeMap<String, SparseVector>) {
    let get = |name: &str| {
        found
            .as_ref()
            .and_then(|vectors| vectors.get_vector_by_name(name))
    };
    let mut sparse = BTreeMap::new();
    for name in &definition.sparse {
        if originals.absent.contains(name) {
            continue;
        }
        let vector = originals.sparse.remove(name).unwrap_or_else(|| {
            // Qdrant leaves an empty vector out of its answers.
            match get(name) {
                Some(NativeVector::Sparse(vector)) => SparseVector {
                    indices: vector.indices,
                    values: vector.values,
                },
                _ => SparseVector::default(),
            }
        });
        sparse.insert(name.clone(), vector);
    }
    let dense = originals.dense.or_else(|| match get(DENSE) {
        Some(NativeVector::Dense(vector)) => Some(vector.data),
        _ => None,
    });
    (dense, sparse)
}

fn corrupt(reason: &'static str) -> Error {
    Error::Corrupt { key: 0, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_tenants_and_chunks_never_meet() {
        let (tenant, chunk) = (
            |n| TenantId::from_uuid(Uuid::from_u128(n)),
            |n| ChunkId::from_uuid(Uuid::from_u128(n)),
        );
        assert_eq!(point_id(tenant(1), chunk(2)), point_id(tenant(1), chunk(2)));
        assert_ne!(point_id(tenant(1), chunk(2)), point_id(tenant(2), chunk(1)));
        assert_ne!(point_id(tenant(1), chunk(2)), point_id(tenant(2), chunk(2)));
    }

    #[test]
    fn ranks_sort_like_ids() {
        let ids: Vec<u128> = vec![0, 1, 1 << 64, 1 << 65, 1 << 127, u128::MAX];
        let ranks: Vec<i64> = ids
            .iter()
            .map(|id| rank(ChunkId::from_uuid(Uuid::from_u128(*id))))
            .collect();
        assert!(ranks.is_sorted() && ranks[0] >= 0, "{ranks:?}");
        assert_eq!(ranks[5], i64::MAX);
    }

    #[test]
    fn facts_keep_names_and_values_apart() {
        assert_ne!(fact("a", "b=c"), fact("a=b", "c"));
        assert_ne!(fact("1:a", "b"), fact("1", "a=b"));
    }
}
