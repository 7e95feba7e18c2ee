//! Rows as values: what is written, what is read, and what does not decode.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde::Deserialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};
use touchstone_api::document::Metadata;
use touchstone_api::vector::{Payload, Point};
use touchstone_types::{ChunkId, DocumentId, Source, SparseVector, TenantId};
use uuid::Uuid;

use super::codec::{decode_dense, decode_sparse, encode_dense, encode_sparse};
use crate::domain::{CollectionName, Definition, Dense};
use crate::error::Error;
use crate::index::Facts;

/// A collection with the key of its row.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: i64,
    pub(super) name: CollectionName,
    pub(super) definition: Definition,
}

/// A point, ready to be written.
#[derive(Debug)]
pub(super) struct NewRow {
    pub(super) id: ChunkId,
    pub(super) payload: Payload,
    pub(super) sparse: Vec<u8>,
    pub(super) dense: Option<Vec<u8>>,
}

/// A row of the load, not decoded yet.
#[derive(Debug)]
pub(super) struct LoadRow {
    pub(super) key: i64,
    pub(super) collection: i64,
    tenant: Vec<u8>,
    id: Vec<u8>,
    document: Vec<u8>,
    version: u32,
    language: String,
    source: String,
    created_at: i64,
    metadata: Option<String>,
    sparse: Vec<u8>,
    dense: Option<Vec<u8>>,
}

/// A row of the load.
pub(super) struct Loaded {
    pub(super) tenant: TenantId,
    pub(super) facts: Facts,
    pub(super) sparse: Vec<(usize, SparseVector)>,
    pub(super) dense: Option<Vec<f32>>,
}

impl NewRow {
    /// Encodes a point that was checked.
    pub(super) fn encode(definition: &Definition, point: Point) -> Self {
        let sparse = encode_sparse(
            point
                .sparse
                .iter()
                .filter_map(|(name, vector)| Some((definition.sparse_number(name)?, vector))),
        );
        Self {
            id: point.id,
            dense: point.dense.as_deref().map(encode_dense),
            payload: point.payload,
            sparse,
        }
    }
}

impl FromRow<'_, SqliteRow> for LoadRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            key: row.try_get(0)?,
            collection: row.try_get(1)?,
            tenant: row.try_get(2)?,
            id: row.try_get(3)?,
            document: row.try_get(4)?,
            version: row.try_get(5)?,
            language: row.try_get(6)?,
            source: row.try_get(7)?,
            created_at: row.try_get(8)?,
            metadata: row.try_get(9)?,
            sparse: row.try_get(10)?,
            dense: row.try_get(11)?,
        })
    }
}

impl LoadRow {
    pub(super) fn decode(self, definition: &Definition) -> Result<Loaded, Error> {
        let key = self.key;
        let corrupt = |reason| Error::Corrupt { key, reason };
        let dense = self
            .dense
            .as_deref()
            .map(|blob| decode_dense(blob, definition.dimension()));
        Ok(Loaded {
            tenant: id(&self.tenant).map_err(corrupt)?,
            facts: Facts {
                id: id(&self.id).map_err(corrupt)?,
                key,
                document_id: id(&self.document).map_err(corrupt)?,
                version: self.version,
                language: self.language,
                source: source(&self.source).map_err(corrupt)?,
                created_at: self.created_at,
                metadata: metadata(self.metadata.as_deref()).map_err(corrupt)?,
            },
            sparse: decode_sparse(&self.sparse, definition.sparse.len()).map_err(corrupt)?,
            dense: dense.transpose().map_err(corrupt)?,
        })
    }
}

/// The vectors of a point.
#[derive(Debug, Default)]
pub(super) struct Vectors {
    pub(super) sparse: BTreeMap<String, SparseVector>,
    pub(super) dense: Option<Vec<f32>>,
}

pub(super) fn entry(row: &SqliteRow) -> Result<Entry, Error> {
    let key: i64 = row.try_get(0).map_err(store)?;
    let corrupt = |reason| Error::Corrupt { key, reason };
    let name: &str = row.try_get(1).map_err(store)?;
    let model: Option<String> = row.try_get(2).map_err(store)?;
    let dimension: Option<i64> = row.try_get(3).map_err(store)?;
    let names: &str = row.try_get(4).map_err(store)?;
    let dense = model.zip(dimension).map(|(model, d)| Dense {
        model,
        dimension: d.unsigned_abs() as usize,
    });
    let sparse = serde_json::from_str(names).map_err(|_| corrupt("names that are no list"))?;
    Ok(Entry {
        key,
        name: CollectionName::parse(name).map_err(|_| corrupt("a name against the rules"))?,
        definition: Definition { dense, sparse },
    })
}

/// A payload as the store's statement lists it.
#[derive(Deserialize)]
struct PayloadRow(
    i64,
    Uuid,
    DocumentId,
    u32,
    u32,
    usize,
    usize,
    String,
    String,
    i64,
    Option<String>,
    String,
    Option<String>,
    String,
);

/// Payloads by id out of one JSON array of rows.
pub(super) fn decode_payloads(rows: &str) -> Result<Vec<(ChunkId, Payload)>, Error> {
    let rows: Vec<PayloadRow> = serde_json::from_str(rows).map_err(|_| Error::Corrupt {
        key: 0,
        reason: "payloads that do not decode",
    })?;
    rows.into_iter().map(payload).collect()
}

fn payload(row: PayloadRow) -> Result<(ChunkId, Payload), Error> {
    let PayloadRow(
        key,
        id,
        document_id,
        version,
        ordinal,
        start,
        end,
        language,
        source_word,
        created_at,
        facts,
        title,
        heading,
        text,
    ) = row;
    let corrupt = |reason| Error::Corrupt { key, reason };
    let payload = Payload {
        document_id,
        version,
        ordinal,
        start,
        end,
        text,
        title,
        heading,
        language,
        source: source(&source_word).map_err(corrupt)?,
        created_at: DateTime::from_timestamp_micros(created_at)
            .ok_or_else(|| corrupt("a time out of range"))?,
        metadata: metadata(facts.as_deref()).map_err(corrupt)?,
    };
    Ok((ChunkId::from_uuid(id), payload))
}

pub(super) fn vectors(
    row: &SqliteRow,
    definition: &Definition,
) -> Result<(ChunkId, Vectors), Error> {
    let key: i64 = row.try_get(0).map_err(store)?;
    let corrupt = |reason| Error::Corrupt { key, reason };
    let sparse: &[u8] = row.try_get(2).map_err(store)?;
    let dense: Option<&[u8]> = row.try_get(3).map_err(store)?;
    let sparse = decode_sparse(sparse, definition.sparse.len()).map_err(corrupt)?;
    let dense = dense
        .map(|blob| decode_dense(blob, definition.dimension()))
        .transpose();
    let named = sparse
        .into_iter()
        .map(|(number, vector)| (definition.sparse[number].clone(), vector));
    let vectors = Vectors {
        sparse: named.collect(),
        dense: dense.map_err(corrupt)?,
    };
    Ok((
        id(row.try_get(1).map_err(store)?).map_err(corrupt)?,
        vectors,
    ))
}

fn id<I: From<Uuid>>(bytes: &[u8]) -> Result<I, &'static str> {
    Uuid::from_slice(bytes)
        .map(I::from)
        .map_err(|_| "an id that is no UUID")
}

fn source(word: &str) -> Result<Source, &'static str> {
    word.parse().map_err(|_| "an unknown source")
}

fn metadata(json: Option<&str>) -> Result<Metadata, &'static str> {
    json.map_or_else(
        || Ok(Metadata::new()),
        |json| serde_json::from_str(json).map_err(|_| "metadata that are no JSON"),
    )
}

/// Wraps an error of the driver.
pub(super) fn store(error: sqlx::Error) -> Error {
    Error::Store(touchstone_store::Error::from(error))
}
