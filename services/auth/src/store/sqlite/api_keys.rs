use chrono::{DateTime, Utc};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqlitePool};
use touchstone_store::{Error, decode_id, encode_id, micros};
use touchstone_types::{ApiKeyId, TenantId};

use super::{accounts, damaged, optional_time, time};
use crate::secrets::SecretHash;
use crate::store::{ApiKeyRecord, User};

fn read(row: &SqliteRow) -> Result<ApiKeyRecord, Error> {
    let hash: &[u8] = row.try_get("hash")?;
    let idempotency: Option<&[u8]> = row.try_get("idempotency_hash")?;
    let request: &[u8] = row.try_get("request_hash")?;
    Ok(ApiKeyRecord {
        id: decode_id(row.try_get("id")?)?,
        tenant: decode_id(row.try_get("tenant_id")?)?,
        user: decode_id(row.try_get("user_id")?)?,
        name: row.try_get("name")?,
        prefix: row.try_get("prefix")?,
        hash: SecretHash::from_stored(hash).ok_or_else(|| damaged("hash"))?,
        created_at: time(row, "created_at")?,
        expires_at: optional_time(row, "expires_at")?,
        last_used_at: optional_time(row, "last_used_at")?,
        idempotency_hash: idempotency
            .map(|bytes| bytes.try_into().map_err(|_| damaged("idempotency_hash")))
            .transpose()?,
        request_hash: request.try_into().map_err(|_| damaged("request_hash"))?,
    })
}

pub(super) async fn insert(tx: &mut SqliteConnection, key: &ApiKeyRecord) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO api_keys (id, tenant_id, user_id, name, prefix, hash, created_at, expires_at,
                               last_used_at, idempotency_hash, request_hash)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(encode_id(key.id.as_uuid()))
    .bind(encode_id(key.tenant.as_uuid()))
    .bind(encode_id(key.user.as_uuid()))
    .bind(&key.name)
    .bind(&key.prefix)
    .bind(key.hash.as_bytes().as_slice())
    .bind(micros(key.created_at))
    .bind(key.expires_at.map(micros))
    .bind(key.last_used_at.map(micros))
    .bind(key.idempotency_hash.as_ref().map(<[u8; 32]>::as_slice))
    .bind(key.request_hash.as_slice())
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn by_idempotency(
    tx: &mut SqliteConnection,
    tenant: TenantId,
    hash: &[u8; 32],
) -> Result<Option<ApiKeyRecord>, Error> {
    sqlx::query("SELECT * FROM api_keys WHERE tenant_id = ? AND idempotency_hash = ?")
        .bind(encode_id(tenant.as_uuid()))
        .bind(hash.as_slice())
        .fetch_optional(tx)
        .await?
        .as_ref()
        .map(read)
        .transpose()
}

pub(super) async fn replace_unused_secret(
    tx: &mut SqliteConnection,
    id: ApiKeyId,
    prefix: &str,
    hash: &SecretHash,
) -> Result<bool, Error> {
    let updated = sqlx::query(
        "UPDATE api_keys SET prefix = ?, hash = ? WHERE id = ? AND last_used_at IS NULL",
    )
    .bind(prefix)
    .bind(hash.as_bytes().as_slice())
    .bind(encode_id(id.as_uuid()))
    .execute(tx)
    .await?;
    Ok(updated.rows_affected() == 1)
}

pub(super) async fn page(
    pool: &SqlitePool,
    tenant: TenantId,
    after: Option<ApiKeyId>,
    limit: u32,
) -> Result<Vec<ApiKeyRecord>, Error> {
    sqlx::query("SELECT * FROM api_keys WHERE tenant_id = ? AND id > ? ORDER BY id LIMIT ?")
        .bind(encode_id(tenant.as_uuid()))
        .bind(after.map_or_else(Vec::new, |id| encode_id(id.as_uuid()).to_vec()))
        .bind(limit)
        .fetch_all(pool)
        .await?
        .iter()
        .map(read)
        .collect()
}

pub(super) async fn by_prefix(
    pool: &SqlitePool,
    prefix: &str,
) -> Result<Vec<(ApiKeyRecord, User)>, Error> {
    sqlx::query(
        "SELECT k.*, u.email, u.email_key, u.password_hash, u.role,
                u.created_at AS user_created_at
         FROM api_keys k JOIN users u ON u.id = k.user_id AND u.tenant_id = k.tenant_id
         WHERE k.prefix = ?",
    )
    .bind(prefix)
    .fetch_all(pool)
    .await?
    .iter()
    .map(|row| Ok((read(row)?, accounts::user(row)?)))
    .collect()
}

pub(super) async fn touch(
    tx: &mut SqliteConnection,
    id: ApiKeyId,
    at: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE api_keys SET last_used_at = ?
         WHERE id = ? AND (last_used_at IS NULL OR last_used_at < ?)",
    )
    .bind(micros(at))
    .bind(encode_id(id.as_uuid()))
    .bind(micros(at))
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn delete(
    tx: &mut SqliteConnection,
    tenant: TenantId,
    id: ApiKeyId,
) -> Result<bool, Error> {
    let deleted = sqlx::query("DELETE FROM api_keys WHERE tenant_id = ? AND id = ?")
        .bind(encode_id(tenant.as_uuid()))
        .bind(encode_id(id.as_uuid()))
        .execute(tx)
        .await?;
    Ok(deleted.rows_affected() == 1)
}
