use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use touchstone_store::Error;
use touchstone_store::postgres::{int, uint};
use touchstone_types::{FamilyId, TenantId, UserId};

use super::{damaged, sql};
use crate::domain::session::{EndReason, Family};
use crate::secrets::{FamilySeed, SecretHash};
use crate::store::{NewFamily, OfferedToken};

pub(super) fn family(row: &PgRow) -> Result<Family, Error> {
    Ok(Family {
        id: FamilyId::from_uuid(row.try_get("id")?),
        user: UserId::from_uuid(row.try_get("user_id")?),
        tenant: TenantId::from_uuid(row.try_get("tenant_id")?),
        generation: uint(row.try_get("generation")?)?,
        rotated_at: row.try_get("rotated_at")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        ended_at: row.try_get("ended_at")?,
    })
}

pub(super) fn offered(row: &PgRow) -> Result<OfferedToken, Error> {
    Ok(OfferedToken {
        generation: uint(row.try_get("offered")?)?,
        seed: FamilySeed::from_stored(row.try_get("seed")?).ok_or_else(|| damaged("seed"))?,
        family: family(row)?,
    })
}

pub(super) async fn insert(tx: &mut PgConnection, new: &NewFamily) -> Result<(), Error> {
    let family = &new.family;
    sqlx::query(sql::INSERT_FAMILY)
        .bind(family.id.as_uuid())
        .bind(family.user.as_uuid())
        .bind(family.tenant.as_uuid())
        .bind(new.seed.as_bytes().as_slice())
        .bind(int(family.generation))
        .bind(family.rotated_at)
        .bind(family.created_at)
        .bind(family.expires_at)
        .execute(&mut *tx)
        .await?;
    insert_token(tx, family.id, family.generation, &new.token).await
}

pub(super) async fn insert_token(
    tx: &mut PgConnection,
    family: FamilyId,
    generation: u32,
    hash: &SecretHash,
) -> Result<(), Error> {
    sqlx::query(sql::INSERT_TOKEN)
        .bind(hash.as_bytes().as_slice())
        .bind(family.as_uuid())
        .bind(int(generation))
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn advance(
    tx: &mut PgConnection,
    family: FamilyId,
    generation: u32,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let updated = sqlx::query(sql::ADVANCE)
        .bind(now)
        .bind(family.as_uuid())
        .bind(int(generation))
        .execute(tx)
        .await?;
    Ok(updated.rows_affected() == 1)
}

pub(super) async fn end_all(
    tx: &mut PgConnection,
    user: UserId,
    reason: EndReason,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query(sql::END_ALL)
        .bind(now)
        .bind(reason.as_str())
        .bind(user.as_uuid())
        .execute(tx)
        .await?;
    Ok(())
}
