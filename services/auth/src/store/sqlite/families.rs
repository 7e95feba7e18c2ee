use chrono::{DateTime, Utc};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqlitePool};
use touchstone_store::{Error, decode_id, encode_id, micros};
use touchstone_types::{FamilyId, UserId};

use super::{damaged, optional_time, time};
use crate::domain::session::{EndReason, Family};
use crate::secrets::{FamilySeed, SecretHash};
use crate::store::{NewFamily, OfferedToken};

fn read(row: &SqliteRow) -> Result<Family, Error> {
    Ok(Family {
        id: decode_id(row.try_get("id")?)?,
        user: decode_id(row.try_get("user_id")?)?,
        tenant: decode_id(row.try_get("tenant_id")?)?,
        generation: row.try_get("generation")?,
        rotated_at: time(row, "rotated_at")?,
        created_at: time(row, "created_at")?,
        expires_at: time(row, "expires_at")?,
        ended_at: optional_time(row, "ended_at")?,
    })
}

pub(super) async fn insert(tx: &mut SqliteConnection, new: &NewFamily) -> Result<(), Error> {
    let family = &new.family;
    sqlx::query(
        "INSERT INTO families
           (id, user_id, tenant_id, seed, generation, rotated_at, created_at, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(encode_id(family.id.as_uuid()))
    .bind(encode_id(family.user.as_uuid()))
    .bind(encode_id(family.tenant.as_uuid()))
    .bind(new.seed.as_bytes().as_slice())
    .bind(family.generation)
    .bind(micros(family.rotated_at))
    .bind(micros(family.created_at))
    .bind(micros(family.expires_at))
    .execute(&mut *tx)
    .await?;
    insert_token(tx, family.id, family.generation, &new.token).await
}

pub(super) async fn insert_token(
    tx: &mut SqliteConnection,
    family: FamilyId,
    generation: u32,
    hash: &SecretHash,
) -> Result<(), Error> {
    sqlx::query("INSERT INTO refresh_tokens (hash, family_id, generation) VALUES (?, ?, ?)")
        .bind(hash.as_bytes().as_slice())
        .bind(encode_id(family.as_uuid()))
        .bind(generation)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn family(pool: &SqlitePool, id: FamilyId) -> Result<Option<Family>, Error> {
    sqlx::query(
        "SELECT id, user_id, tenant_id, generation, rotated_at, created_at, expires_at, ended_at
         FROM families WHERE id = ?",
    )
    .bind(encode_id(id.as_uuid()))
    .fetch_optional(pool)
    .await?
    .as_ref()
    .map(read)
    .transpose()
}

pub(super) async fn by_token(
    pool: &SqlitePool,
    hash: &SecretHash,
) -> Result<Option<OfferedToken>, Error> {
    let row = sqlx::query(
        "SELECT r.generation AS offered, f.id, f.user_id, f.tenant_id, f.seed, f.generation,
                f.rotated_at, f.created_at, f.expires_at, f.ended_at
         FROM refresh_tokens r JOIN families f ON f.id = r.family_id WHERE r.hash = ?",
    )
    .bind(hash.as_bytes().as_slice())
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(OfferedToken {
        generation: row.try_get("offered")?,
        seed: FamilySeed::from_stored(row.try_get("seed")?).ok_or_else(|| damaged("seed"))?,
        family: read(&row)?,
    }))
}

pub(super) async fn advance(
    tx: &mut SqliteConnection,
    family: FamilyId,
    generation: u32,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let updated = sqlx::query(
        "UPDATE families SET generation = generation + 1, rotated_at = ?
         WHERE id = ? AND generation = ? AND ended_at IS NULL AND expires_at > ?",
    )
    .bind(micros(now))
    .bind(encode_id(family.as_uuid()))
    .bind(generation)
    .bind(micros(now))
    .execute(tx)
    .await?;
    Ok(updated.rows_affected() == 1)
}

pub(super) async fn end(
    tx: &mut SqliteConnection,
    family: FamilyId,
    reason: EndReason,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let updated = sqlx::query(
        "UPDATE families SET ended_at = ?, end_reason = ? WHERE id = ? AND ended_at IS NULL",
    )
    .bind(micros(now))
    .bind(reason.as_str())
    .bind(encode_id(family.as_uuid()))
    .execute(tx)
    .await?;
    Ok(updated.rows_affected() == 1)
}

pub(super) async fn end_all(
    tx: &mut SqliteConnection,
    user: UserId,
    reason: EndReason,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE families SET ended_at = ?, end_reason = ? WHERE user_id = ? AND ended_at IS NULL",
    )
    .bind(micros(now))
    .bind(reason.as_str())
    .bind(encode_id(user.as_uuid()))
    .execute(tx)
    .await?;
    Ok(())
}
