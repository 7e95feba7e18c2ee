use chrono::{DateTime, Utc};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqlitePool};
use touchstone_store::{Error, decode_id, encode_id, micros};
use touchstone_types::{Role, UserId};

use super::{damaged, time};
use crate::store::{Account, KnownAddress, Tenant, User};

pub(super) fn user(row: &SqliteRow) -> Result<User, Error> {
    let role: &str = row.try_get("role")?;
    Ok(User {
        id: decode_id(row.try_get("user_id")?)?,
        tenant: decode_id(row.try_get("tenant_id")?)?,
        email: row.try_get("email")?,
        email_key: row.try_get("email_key")?,
        password_hash: row.try_get("password_hash")?,
        role: role.parse::<Role>().map_err(|_| damaged("role"))?,
        created_at: time(row, "user_created_at")?,
    })
}

pub(super) async fn insert_tenant(tx: &mut SqliteConnection, tenant: &Tenant) -> Result<(), Error> {
    sqlx::query("INSERT INTO tenants (id, name, created_at) VALUES (?, ?, ?)")
        .bind(encode_id(tenant.id.as_uuid()))
        .bind(&tenant.name)
        .bind(micros(tenant.created_at))
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn insert_user(tx: &mut SqliteConnection, user: &User) -> Result<bool, Error> {
    let inserted = sqlx::query(
        "INSERT INTO users (id, tenant_id, email, email_key, password_hash, role, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (email_key) DO NOTHING",
    )
    .bind(encode_id(user.id.as_uuid()))
    .bind(encode_id(user.tenant.as_uuid()))
    .bind(&user.email)
    .bind(&user.email_key)
    .bind(&user.password_hash)
    .bind(user.role.as_str())
    .bind(micros(user.created_at))
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(super) async fn user_by_email(pool: &SqlitePool, key: &str) -> Result<Option<User>, Error> {
    sqlx::query(
        "SELECT id AS user_id, tenant_id, email, email_key, password_hash, role,
                created_at AS user_created_at
         FROM users WHERE email_key = ?",
    )
    .bind(key)
    .fetch_optional(pool)
    .await?
    .as_ref()
    .map(user)
    .transpose()
}

pub(super) async fn account(pool: &SqlitePool, id: UserId) -> Result<Option<Account>, Error> {
    let row = sqlx::query(
        "SELECT u.id AS user_id, u.tenant_id, u.email, u.email_key, u.password_hash, u.role,
                u.created_at AS user_created_at, t.name, t.created_at
         FROM users u JOIN tenants t ON t.id = u.tenant_id WHERE u.id = ?",
    )
    .bind(encode_id(id.as_uuid()))
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let user = user(&row)?;
    let tenant = Tenant {
        id: user.tenant,
        name: row.try_get("name")?,
        created_at: time(&row, "created_at")?,
    };
    Ok(Some(Account { user, tenant }))
}

pub(super) async fn has_hash(
    tx: &mut SqliteConnection,
    user: UserId,
    hash: &str,
) -> Result<bool, Error> {
    let found = sqlx::query("SELECT 1 FROM users WHERE id = ? AND password_hash = ?")
        .bind(encode_id(user.as_uuid()))
        .bind(hash)
        .fetch_optional(tx)
        .await?;
    Ok(found.is_some())
}

pub(super) async fn replace_hash(
    tx: &mut SqliteConnection,
    user: UserId,
    old: &str,
    new: &str,
) -> Result<bool, Error> {
    let updated =
        sqlx::query("UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?")
            .bind(new)
            .bind(encode_id(user.as_uuid()))
            .bind(old)
            .execute(tx)
            .await?;
    Ok(updated.rows_affected() == 1)
}

pub(super) async fn knows_address(
    pool: &SqlitePool,
    fingerprint: &[u8; 32],
    since: DateTime<Utc>,
) -> Result<bool, Error> {
    let found =
        sqlx::query("SELECT 1 FROM known_addresses WHERE fingerprint = ? AND last_seen_at >= ?")
            .bind(fingerprint.as_slice())
            .bind(micros(since))
            .fetch_optional(pool)
            .await?;
    Ok(found.is_some())
}

pub(super) async fn remember_address(
    tx: &mut SqliteConnection,
    user: UserId,
    address: &KnownAddress,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO known_addresses (fingerprint, user_id, last_seen_at) VALUES (?, ?, ?)
         ON CONFLICT (fingerprint) DO UPDATE SET last_seen_at = excluded.last_seen_at",
    )
    .bind(address.fingerprint.as_slice())
    .bind(encode_id(user.as_uuid()))
    .bind(micros(address.seen_at))
    .execute(tx)
    .await?;
    Ok(())
}
