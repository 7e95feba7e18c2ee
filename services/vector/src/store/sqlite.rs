//! The rows: every SQL statement of the service.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::migrate::Migrator;
use touchstone_api::vector::Payload;
use touchstone_store::sqlite::{Database, Transaction};
use touchstone_types::{ChunkId, TenantId};

use super::row::{Entry, LoadRow, NewRow, Vectors, decode_payloads, entry, store, vectors};
use crate::domain::{CollectionName, Definition, Dense};
use crate::error::Error;

static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

const UPSERT: &str = "
INSERT INTO points (point_key, collection_key, tenant_id, id, document_id, version, ordinal,
    span_start, span_end, language, source, created_at, metadata, sparse, dense, title, heading,
    body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
ON CONFLICT (collection_key, tenant_id, id) DO UPDATE SET
    document_id = ?5, version = ?6, ordinal = ?7, span_start = ?8, span_end = ?9, language = ?10,
    source = ?11, created_at = ?12, metadata = ?13, sparse = ?14, dense = ?15, title = ?16,
    heading = ?17, body = ?18";

// A `+` keeps the planner on the keys: the index by tenant would walk all points of the tenant.

pub(super) const DELETE: &str = "
DELETE FROM points
WHERE point_key IN (SELECT value FROM json_each(?1)) AND +collection_key = ?2
    AND +tenant_id = ?3";

/// One row for all payloads: many times cheaper than a row for each on its way from the driver's
/// thread.
pub(super) const PAYLOADS: &str = "
SELECT json_group_array(json_array(point_key, lower(hex(id)), lower(hex(document_id)), version,
    ordinal, span_start, span_end, language, source, created_at, metadata, title, heading, body))
FROM points
WHERE point_key IN (SELECT value FROM json_each(?1)) AND +collection_key = ?2
    AND +tenant_id = ?3";

/// Payloads read by one statement.
const PAYLOAD_GROUP: usize = 500;

pub(super) const VECTORS: &str = "
SELECT point_key, id, sparse, dense
FROM points
WHERE point_key IN (SELECT value FROM json_each(?1)) AND +collection_key = ?2
    AND +tenant_id = ?3";

const LOAD: &str = "
SELECT point_key, collection_key, tenant_id, id, document_id, version, language, source,
    created_at, metadata, sparse, dense
FROM points WHERE point_key > ?1 ORDER BY point_key LIMIT ?2";

/// The rows of points and collections.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    db: Database,
}

impl Rows {
    pub(super) async fn open(uri: &str) -> Result<Self, Error> {
        Ok(Self {
            db: Database::open(uri, &MIGRATOR).await?,
        })
    }

    #[cfg(test)]
    pub(super) const fn database(&self) -> &Database {
        &self.db
    }

    pub(super) async fn collections(&self) -> Result<Vec<Entry>, Error> {
        let rows = sqlx::query(
            "SELECT collection_key, name, dense_model, dense_dimension, sparse_names FROM collections",
        )
        .fetch_all(self.db.read())
        .await
        .map_err(store)?;
        rows.iter().map(entry).collect()
    }

    pub(super) async fn create(
        &self,
        name: &CollectionName,
        definition: &Definition,
        now: DateTime<Utc>,
    ) -> Result<i64, Error> {
        let names = serde_json::to_string(&definition.sparse).unwrap_or_default();
        let mut tx = self.db.begin().await?;
        let done = sqlx::query(
            "INSERT INTO collections (name, dense_model, dense_dimension, sparse_names, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .bind(name.as_str())
        .bind(definition.dense.as_ref().map(|dense| dense.model.as_str()))
        .bind(
            definition
                .dimension()
                .map(|dimension| dimension.cast_signed() as i64),
        )
        .bind(names)
        .bind(now.timestamp_micros())
        .execute(&mut *tx)
        .await
        .map_err(store)?;
        tx.commit().await.map_err(store)?;
        Ok(done.last_insert_rowid())
    }

    pub(super) async fn set_dense(&self, key: i64, dense: &Dense) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        sqlx::query(
            "UPDATE collections SET dense_model = ?2, dense_dimension = ?3 WHERE collection_key = ?1",
        )
        .bind(key)
        .bind(&dense.model)
        .bind(dense.dimension.cast_signed() as i64)
        .execute(&mut *tx)
        .await
        .map_err(store)?;
        tx.commit().await.map_err(store)
    }

    pub(super) async fn remove(&self, key: i64) -> Result<u64, Error> {
        let mut tx = self.db.begin().await?;
        let points = sqlx::query("DELETE FROM points WHERE collection_key = ?1")
            .bind(key)
            .execute(&mut *tx)
            .await
            .map_err(store)?;
        sqlx::query("DELETE FROM collections WHERE collection_key = ?1")
            .bind(key)
            .execute(&mut *tx)
            .await
            .map_err(store)?;
        tx.commit().await.map_err(store)?;
        Ok(points.rows_affected())
    }

    /// Writes points in one transaction; `keys` stand in the order of `rows`.
    pub(super) async fn upsert(
        &self,
        collection: i64,
        tenant: TenantId,
        rows: Vec<NewRow>,
        keys: &[i64],
    ) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        for (row, key) in rows.into_iter().zip(keys) {
            write(&mut tx, collection, tenant, row, *key)
                .await
                .map_err(store)?;
        }
        tx.commit().await.map_err(store)
    }

    pub(super) async fn delete(
        &self,
        collection: i64,
        tenant: TenantId,
        keys: &[i64],
    ) -> Result<u64, Error> {
        let mut tx = self.db.begin().await?;
        let done = sqlx::query(DELETE)
            .bind(list(keys))
            .bind(collection)
            .bind(tenant.as_uuid().as_bytes().as_slice())
            .execute(&mut *tx)
            .await
            .map_err(store)?;
        tx.commit().await.map_err(store)?;
        Ok(done.rows_affected())
    }

    /// Payloads by id; those of rows that are gone are missing.
    pub(super) async fn payloads(
        &self,
        collection: i64,
        tenant: TenantId,
        keys: &[i64],
    ) -> Result<BTreeMap<ChunkId, Payload>, Error> {
        let mut payloads = BTreeMap::new();
        for group in keys.chunks(PAYLOAD_GROUP) {
            let rows: String = sqlx::query_scalar(PAYLOADS)
                .bind(list(group))
                .bind(collection)
                .bind(tenant.as_uuid().as_bytes().as_slice())
                .fetch_one(self.db.read())
                .await
                .map_err(store)?;
            payloads.extend(decode_payloads(&rows)?);
        }
        Ok(payloads)
    }

    /// Vectors by id, as they were written.
    pub(super) async fn vectors(
        &self,
        collection: &Entry,
        tenant: TenantId,
        keys: &[i64],
    ) -> Result<BTreeMap<ChunkId, Vectors>, Error> {
        let rows = sqlx::query(VECTORS)
            .bind(list(keys))
            .bind(collection.key)
            .bind(tenant.as_uuid().as_bytes().as_slice())
            .fetch_all(self.db.read())
            .await
            .map_err(store)?;
        rows.iter()
            .map(|row| vectors(row, &collection.definition))
            .collect()
    }

    /// The next rows after a key, ascending.
    pub(super) async fn load(&self, after: i64, limit: i64) -> Result<Vec<LoadRow>, Error> {
        sqlx::query_as(LOAD)
            .bind(after)
            .bind(limit)
            .fetch_all(self.db.read())
            .await
            .map_err(store)
    }

    pub(super) async fn ping(&self) -> Result<(), Error> {
        Ok(self.db.ping().await?)
    }
}

async fn write(
    tx: &mut Transaction,
    collection: i64,
    tenant: TenantId,
    row: NewRow,
    key: i64,
) -> Result<(), sqlx::Error> {
    let payload = row.payload;
    let metadata = (!payload.metadata.is_empty())
        .then(|| serde_json::to_string(&payload.metadata).unwrap_or_default());
    sqlx::query(UPSERT)
        .bind(key)
        .bind(collection)
        .bind(tenant.as_uuid().as_bytes().as_slice())
        .bind(row.id.as_uuid().as_bytes().as_slice())
        .bind(payload.document_id.as_uuid().as_bytes().as_slice())
        .bind(payload.version)
        .bind(payload.ordinal)
        .bind(payload.start.cast_signed() as i64)
        .bind(payload.end.cast_signed() as i64)
        .bind(payload.language)
        .bind(payload.source.as_str())
        .bind(payload.created_at.timestamp_micros())
        .bind(metadata)
        .bind(row.sparse)
        .bind(row.dense)
        .bind(payload.title)
        .bind(payload.heading)
        .bind(payload.text)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn list(keys: &[i64]) -> String {
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    format!("[{}]", keys.join(","))
}
