use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use touchstone_store::Error;
use touchstone_store::postgres::text;
use touchstone_types::{Role, TenantId, UserId};

use super::{damaged, sql};
use crate::store::{KnownAddress, Tenant, User};

pub(super) fn user(row: &PgRow) -> Result<User, Error> {
    let role: &str = row.try_get("role")?;
    Ok(User {
        id: UserId::from_uuid(row.try_get("user_id")?),
        tenant: TenantId::from_uuid(row.try_get("tenant_id")?),
        email: row.try_get("email")?,
        email_key: row.try_get("email_key")?,
        password_hash: row.try_get("password_hash")?,
        role: role.parse::<Role>().map_err(|_| damaged("role"))?,
        created_at: row.try_get("user_created_at")?,
    })
}

pub(super) async fn insert_tenant(tx: &mut PgConnection, tenant: &Tenant) -> Result<(), Error> {
    sqlx::query(sql::INSERT_TENANT)
        .bind(tenant.id.as_uuid())
        .bind(text(&tenant.name))
        .bind(tenant.created_at)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn insert_user(tx: &mut PgConnection, user: &User) -> Result<bool, Error> {
    let inserted = sqlx::query(sql::INSERT_USER)
        .bind(user.id.as_uuid())
        .bind(user.tenant.as_uuid())
        .bind(text(&user.email))
        .bind(text(&user.email_key))
        .bind(&user.password_hash)
        .bind(user.role.as_str())
        .bind(user.created_at)
        .execute(tx)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(super) async fn has_hash(
    tx: &mut PgConnection,
    user: UserId,
    hash: &str,
) -> Result<bool, Error> {
    let found = sqlx::query(sql::HAS_HASH)
        .bind(user.as_uuid())
        .bind(hash)
        .fetch_optional(tx)
        .await?;
    Ok(found.is_some())
}

pub(super) async fn replace_hash(
    tx: &mut PgConnection,
    user: UserId,
    old: &str,
    new: &str,
) -> Result<bool, Error> {
    let updated = sqlx::query(sql::REPLACE_HASH)
        .bind(new)
        .bind(user.as_uuid())
        .bind(old)
        .execute(tx)
        .await?;
    Ok(updated.rows_affected() == 1)
}

pub(super) async fn remember_address(
    tx: &mut PgConnection,
    user: UserId,
    address: &KnownAddress,
) -> Result<(), Error> {
    sqlx::query(sql::REMEMBER_ADDRESS)
        .bind(address.fingerprint.as_slice())
        .bind(user.as_uuid())
        .bind(address.seen_at)
        .execute(tx)
        .await?;
    Ok(())
}
