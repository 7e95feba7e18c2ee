use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use touchstone_store::Error;
use touchstone_store::postgres::text;
use touchstone_types::{ApiKeyId, TenantId, UserId};

use super::{damaged, sql};
use crate::secrets::SecretHash;
use crate::store::ApiKeyRecord;

pub(super) fn read(row: &PgRow) -> Result<ApiKeyRecord, Error> {
    let hash: &[u8] = row.try_get("hash")?;
    let idempotency: Option<&[u8]> = row.try_get("idempotency_hash")?;
    let request: &[u8] = row.try_get("request_hash")?;
    Ok(ApiKeyRecord {
        id: ApiKeyId::from_uuid(row.try_get("id")?),
        tenant: TenantId::from_uuid(row.try_get("tenant_id")?),
        user: UserId::from_uuid(row.try_get("user_id")?),
        name: row.try_get("name")?,
        prefix: row.try_get("prefix")?,
        hash: SecretHash::from_stored(hash).ok_or_else(|| damaged("hash"))?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        last_used_at: row.try_get("last_used_at")?,
        idempotency_hash: idempotency
            .map(|bytes| bytes.try_into().map_err(|_| damaged("idempotency_hash")))
            .transpose()?,
        request_hash: request.try_into().map_err(|_| damaged("request_hash"))?,
    })
}

/// `false` when its idempotency hash is taken.
pub(super) async fn insert(tx: &mut PgConnection, key: &ApiKeyRecord) -> Result<bool, Error> {
    let inserted = sqlx::query(sql::INSERT_API_KEY)
        .bind(key.id.as_uuid())
        .bind(key.tenant.as_uuid())
        .bind(key.user.as_uuid())
        .bind(text(&key.name))
        .bind(&key.prefix)
        .bind(key.hash.as_bytes().as_slice())
        .bind(key.created_at)
        .bind(key.expires_at)
        .bind(key.last_used_at)
        .bind(key.idempotency_hash.as_ref().map(<[u8; 32]>::as_slice))
        .bind(key.request_hash.as_slice())
        .execute(tx)
        .await?;
    Ok(inserted.rows_affected() == 1)
}
