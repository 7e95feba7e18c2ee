mod accounts;
mod api_keys;
mod families;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use touchstone_store::sqlite::{Database, commit};
use touchstone_store::{Error, from_micros, micros};
use touchstone_types::{ApiKeyId, FamilyId, TenantId, UserId};
use zeroize::Zeroizing;

use super::{
    Account, ApiKeyRecord, Created, KnownAddress, NewFamily, OfferedToken, SigningKey, Store, User,
};
use crate::domain::session::{EndReason, Family};
use crate::secrets::SecretHash;

static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// Auth's tables in SQLite.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    db: Database,
}

impl SqliteStore {
    /// Opens the database and brings its schema up to date. The file holds the private signing
    /// key, so that nobody but its owner may read it.
    pub async fn open(uri: &str) -> Result<Self, Error> {
        let db = Database::open(uri, &MIGRATOR).await?;
        keep_private(&db).map_err(|source| Error::Folder {
            path: db.file().display().to_string(),
            source,
        })?;
        Ok(Self { db })
    }
}

#[cfg(unix)]
fn keep_private(db: &Database) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for suffix in ["", "-wal", "-shm"] {
        let mut path = db.file().as_os_str().to_owned();
        path.push(suffix);
        match std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn keep_private(_: &Database) -> std::io::Result<()> {
    Ok(())
}

fn time(row: &SqliteRow, column: &str) -> Result<DateTime<Utc>, Error> {
    Ok(from_micros(row.try_get(column)?))
}

fn optional_time(row: &SqliteRow, column: &str) -> Result<Option<DateTime<Utc>>, Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(from_micros))
}

/// A stored value that is not what was stored.
fn damaged(column: &str) -> Error {
    Error::Corrupt(sqlx::Error::Decode(
        format!("`{column}` cannot be read").into(),
    ))
}

fn signing_key(row: &SqliteRow) -> Result<SigningKey, Error> {
    Ok(SigningKey {
        kid: row.try_get("kid")?,
        private_key: Zeroizing::new(row.try_get("private_key")?),
        public_key: row.try_get("public_key")?,
        created_at: time(row, "created_at")?,
    })
}

async fn signing_keys(
    connection: &mut SqliteConnection,
    now: DateTime<Utc>,
) -> Result<Vec<SigningKey>, Error> {
    sqlx::query(
        "SELECT kid, private_key, public_key, created_at FROM signing_keys
         WHERE retired_at IS NULL OR retired_at > ? ORDER BY created_at DESC, kid",
    )
    .bind(micros(now))
    .fetch_all(connection)
    .await?
    .iter()
    .map(signing_key)
    .collect()
}

#[async_trait]
impl Store for SqliteStore {
    async fn create_account(
        &self,
        account: &Account,
        family: &NewFamily,
        address: &KnownAddress,
    ) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        accounts::insert_tenant(&mut tx, &account.tenant).await?;
        if !accounts::insert_user(&mut tx, &account.user).await? {
            return Ok(false);
        }
        families::insert(&mut tx, family).await?;
        accounts::remember_address(&mut tx, account.user.id, address).await?;
        commit(tx).await?;
        Ok(true)
    }

    async fn add_user(&self, user: &User) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let added = accounts::insert_user(&mut tx, user).await?;
        commit(tx).await?;
        Ok(added)
    }

    async fn user_by_email(&self, email_key: &str) -> Result<Option<User>, Error> {
        accounts::user_by_email(self.db.read(), email_key).await
    }

    async fn account(&self, id: UserId) -> Result<Option<Account>, Error> {
        accounts::account(self.db.read(), id).await
    }

    async fn rehash(&self, user: UserId, old: &str, new: &str) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let replaced = accounts::replace_hash(&mut tx, user, old, new).await?;
        commit(tx).await?;
        Ok(replaced)
    }

    async fn change_password(
        &self,
        user: UserId,
        old: &str,
        new: &str,
        family: &NewFamily,
    ) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        if !accounts::replace_hash(&mut tx, user, old, new).await? {
            return Ok(false);
        }
        families::end_all(
            &mut tx,
            user,
            EndReason::PasswordChanged,
            family.family.created_at,
        )
        .await?;
        families::insert(&mut tx, family).await?;
        commit(tx).await?;
        Ok(true)
    }

    async fn knows_address(
        &self,
        fingerprint: &[u8; 32],
        since: DateTime<Utc>,
    ) -> Result<bool, Error> {
        accounts::knows_address(self.db.read(), fingerprint, since).await
    }

    async fn open_family(
        &self,
        family: &NewFamily,
        password_hash: &str,
        address: &KnownAddress,
    ) -> Result<bool, Error> {
        let user = family.family.user;
        let mut tx = self.db.begin().await?;
        if !accounts::has_hash(&mut tx, user, password_hash).await? {
            return Ok(false);
        }
        families::insert(&mut tx, family).await?;
        accounts::remember_address(&mut tx, user, address).await?;
        commit(tx).await?;
        Ok(true)
    }

    async fn family(&self, id: FamilyId) -> Result<Option<Family>, Error> {
        families::family(self.db.read(), id).await
    }

    async fn refresh_token(&self, hash: &SecretHash) -> Result<Option<OfferedToken>, Error> {
        families::by_token(self.db.read(), hash).await
    }

    async fn rotate(
        &self,
        family: FamilyId,
        generation: u32,
        child: &SecretHash,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        if !families::advance(&mut tx, family, generation, now).await? {
            return Ok(false);
        }
        families::insert_token(&mut tx, family, generation.saturating_add(1), child).await?;
        commit(tx).await?;
        Ok(true)
    }

    async fn end_family(
        &self,
        family: FamilyId,
        reason: EndReason,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let ended = families::end(&mut tx, family, reason, now).await?;
        commit(tx).await?;
        Ok(ended)
    }

    async fn purge(&self, expired: DateTime<Utc>, forgotten: DateTime<Utc>) -> Result<u64, Error> {
        let mut tx = self.db.begin().await?;
        let families = sqlx::query("DELETE FROM families WHERE expires_at < ?")
            .bind(micros(expired))
            .execute(&mut *tx)
            .await?;
        let addresses = sqlx::query("DELETE FROM known_addresses WHERE last_seen_at < ?")
            .bind(micros(forgotten))
            .execute(&mut *tx)
            .await?;
        commit(tx).await?;
        Ok(families.rows_affected() + addresses.rows_affected())
    }

    async fn create_api_key(&self, key: &ApiKeyRecord) -> Result<Created, Error> {
        let mut tx = self.db.begin().await?;
        if let Some(hash) = &key.idempotency_hash
            && let Some(earlier) = api_keys::by_idempotency(&mut tx, key.tenant, hash).await?
        {
            return Ok(Created::Earlier(Box::new(earlier)));
        }
        api_keys::insert(&mut tx, key).await?;
        commit(tx).await?;
        Ok(Created::New)
    }

    async fn replace_unused_secret(
        &self,
        id: ApiKeyId,
        prefix: &str,
        hash: &SecretHash,
    ) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let replaced = api_keys::replace_unused_secret(&mut tx, id, prefix, hash).await?;
        commit(tx).await?;
        Ok(replaced)
    }

    async fn api_keys(
        &self,
        tenant: TenantId,
        after: Option<ApiKeyId>,
        limit: u32,
    ) -> Result<Vec<ApiKeyRecord>, Error> {
        api_keys::page(self.db.read(), tenant, after, limit).await
    }

    async fn api_keys_by_prefix(&self, prefix: &str) -> Result<Vec<(ApiKeyRecord, User)>, Error> {
        api_keys::by_prefix(self.db.read(), prefix).await
    }

    async fn touch_api_key(&self, id: ApiKeyId, at: DateTime<Utc>) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        api_keys::touch(&mut tx, id, at).await?;
        commit(tx).await
    }

    async fn delete_api_key(&self, tenant: TenantId, id: ApiKeyId) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let deleted = api_keys::delete(&mut tx, tenant, id).await?;
        commit(tx).await?;
        Ok(deleted)
    }

    async fn adopt_signing_key(
        &self,
        candidate: Option<&SigningKey>,
        now: DateTime<Utc>,
    ) -> Result<Vec<SigningKey>, Error> {
        let mut tx = self.db.begin().await?;
        let mut keys = signing_keys(&mut tx, now).await?;
        if keys.is_empty()
            && let Some(key) = candidate
        {
            sqlx::query(
                "INSERT INTO signing_keys (kid, private_key, public_key, created_at)
                 VALUES (?, ?, ?, ?)",
            )
            .bind(&key.kid)
            .bind(key.private_key.as_slice())
            .bind(&key.public_key)
            .bind(micros(key.created_at))
            .execute(&mut *tx)
            .await?;
            keys = signing_keys(&mut tx, now).await?;
        }
        commit(tx).await?;
        Ok(keys)
    }

    async fn ping(&self) -> Result<(), Error> {
        self.db.ping().await
    }
}
