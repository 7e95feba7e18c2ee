mod accounts;
mod api_keys;
mod families;
pub(super) mod sql;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgRow;
use sqlx::{Executor, PgConnection, Row};
use touchstone_store::Error;
use touchstone_store::postgres::{Database, Explained, Flow, Options, bulk, read, write};
use touchstone_types::{ApiKeyId, FamilyId, TenantId, UserId};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Account, ApiKeyRecord, Created, KnownAddress, NewFamily, OfferedToken, SigningKey, Store,
    Tenant, User,
};
use crate::domain::session::{EndReason, Family};
use crate::secrets::SecretHash;

/// The schema, forward only.
pub static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");

/// What `touchstone explain` looks at.
pub const EXPLAINED: Explained = Explained {
    service: crate::SERVICE,
    migrator: &MIGRATOR,
    fill: sql::FILL,
    statements: &[sql::STATEMENTS],
};

/// Rows that are purged in one transaction.
const PURGED: i64 = 1000;

/// Auth's tables in PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    db: Database,
}

impl PostgresStore {
    /// Opens the database and brings its schema up to date.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub async fn open(uri: &str, options: &Options) -> Result<Self, Error> {
        let db = Database::open(uri, crate::SERVICE, &MIGRATOR, options).await?;
        Ok(Self { db })
    }
}

/// A stored value that is not what was stored.
fn damaged(column: &str) -> Error {
    Error::Corrupt(sqlx::Error::Decode(
        format!("`{column}` cannot be read").into(),
    ))
}

fn signing_key(row: &PgRow) -> Result<SigningKey, Error> {
    Ok(SigningKey {
        kid: row.try_get("kid")?,
        private_key: Zeroizing::new(row.try_get("private_key")?),
        public_key: row.try_get("public_key")?,
        created_at: row.try_get("created_at")?,
    })
}

async fn signing_keys(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<Vec<SigningKey>, Error> {
    sqlx::query(sql::SIGNING_KEYS)
        .bind(now)
        .fetch_all(connection)
        .await?
        .iter()
        .map(signing_key)
        .collect()
}

#[async_trait]
impl Store for PostgresStore {
    async fn create_account(
        &self,
        account: &Account,
        family: &NewFamily,
        address: &KnownAddress,
    ) -> Result<bool, Error> {
        write!(self.db, |tx| {
            accounts::insert_tenant(tx, &account.tenant).await?;
            if !accounts::insert_user(tx, &account.user).await? {
                return Ok(Flow::Rollback(false));
            }
            families::insert(tx, family).await?;
            accounts::remember_address(tx, account.user.id, address).await?;
            Ok(Flow::Commit(true))
        })
    }

    async fn add_user(&self, user: &User) -> Result<bool, Error> {
        write!(self.db, |tx| {
            Ok(Flow::Commit(accounts::insert_user(tx, user).await?))
        })
    }

    async fn user_by_email(&self, email_key: &str) -> Result<Option<User>, Error> {
        read!(self.db, |connection| {
            let query = sqlx::query(sql::USER_BY_EMAIL).bind(email_key);
            let row = query.fetch_optional(connection).await?;
            row.as_ref().map(accounts::user).transpose()
        })
    }

    async fn account(&self, id: UserId) -> Result<Option<Account>, Error> {
        read!(self.db, |connection| {
            let query = sqlx::query(sql::ACCOUNT).bind(id.as_uuid());
            let Some(row) = query.fetch_optional(connection).await? else {
                return Ok(None);
            };
            let user = accounts::user(&row)?;
            let tenant = Tenant {
                id: user.tenant,
                name: row.try_get("name")?,
                created_at: row.try_get("created_at")?,
            };
            Ok(Some(Account { user, tenant }))
        })
    }

    async fn rehash(&self, user: UserId, old: &str, new: &str) -> Result<bool, Error> {
        write!(self.db, |tx| {
            let replaced = accounts::replace_hash(tx, user, old, new).await?;
            Ok(Flow::Commit(replaced))
        })
    }

    async fn change_password(
        &self,
        user: UserId,
        old: &str,
        new: &str,
        family: &NewFamily,
    ) -> Result<bool, Error> {
        let now = family.family.created_at;
        write!(self.db, |tx| {
            if !accounts::replace_hash(tx, user, old, new).await? {
                return Ok(Flow::Rollback(false));
            }
            families::end_all(tx, user, EndReason::PasswordChanged, now).await?;
            families::insert(tx, family).await?;
            Ok(Flow::Commit(true))
        })
    }

    async fn knows_address(
        &self,
        fingerprint: &[u8; 32],
        since: DateTime<Utc>,
    ) -> Result<bool, Error> {
        read!(self.db, |connection| {
            let query = sqlx::query(sql::KNOWS_ADDRESS)
                .bind(fingerprint.as_slice())
                .bind(since);
            Ok(query.fetch_optional(connection).await?.is_some())
        })
    }

    async fn open_family(
        &self,
        family: &NewFamily,
        password_hash: &str,
        address: &KnownAddress,
    ) -> Result<bool, Error> {
        let user = family.family.user;
        write!(self.db, |tx| {
            if !accounts::has_hash(tx, user, password_hash).await? {
                return Ok(Flow::Rollback(false));
            }
            families::insert(tx, family).await?;
            accounts::remember_address(tx, user, address).await?;
            Ok(Flow::Commit(true))
        })
    }

    async fn family(&self, id: FamilyId) -> Result<Option<Family>, Error> {
        read!(self.db, |connection| {
            let query = sqlx::query(sql::FAMILY_BY_ID).bind(id.as_uuid());
            let row = query.fetch_optional(connection).await?;
            row.as_ref().map(families::family).transpose()
        })
    }

    async fn refresh_token(&self, hash: &SecretHash) -> Result<Option<OfferedToken>, Error> {
        read!(self.db, |connection| {
            let query = sqlx::query(sql::FAMILY_BY_TOKEN).bind(hash.as_bytes().as_slice());
            let row = query.fetch_optional(connection).await?;
            row.as_ref().map(families::offered).transpose()
        })
    }

    async fn rotate(
        &self,
        family: FamilyId,
        generation: u32,
        child: &SecretHash,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let next = generation.saturating_add(1);
        write!(self.db, |tx| {
            if !families::advance(tx, family, generation, now).await? {
                return Ok(Flow::Rollback(false));
            }
            families::insert_token(tx, family, next, child).await?;
            Ok(Flow::Commit(true))
        })
    }

    async fn end_family(
        &self,
        family: FamilyId,
        reason: EndReason,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        write!(self.db, |tx| {
            let ended = sqlx::query(sql::END_FAMILY)
                .bind(now)
                .bind(reason.as_str())
                .bind(family.as_uuid())
                .execute(tx)
                .await?;
            Ok(Flow::Commit(ended.rows_affected() == 1))
        })
    }

    async fn purge(&self, expired: DateTime<Utc>, forgotten: DateTime<Utc>) -> Result<u64, Error> {
        let mut purged = 0;
        for (statement, before) in [
            (sql::PURGE_FAMILIES, expired),
            (sql::PURGE_ADDRESSES, forgotten),
        ] {
            // A batch each, so that logins are not locked out for long.
            loop {
                let gone = bulk!(self.db, |tx| {
                    let query = sqlx::query(statement).bind(before).bind(PURGED);
                    Ok(Flow::Commit(query.execute(tx).await?.rows_affected()))
                })?;
                purged += gone;
                if gone < PURGED.unsigned_abs() {
                    break;
                }
            }
        }
        Ok(purged)
    }

    async fn create_api_key(&self, key: &ApiKeyRecord) -> Result<Created, Error> {
        write!(self.db, |tx| {
            if api_keys::insert(tx, key).await? {
                return Ok(Flow::Commit(Created::New));
            }
            let earlier = sqlx::query(sql::API_KEY_BY_IDEMPOTENCY)
                .bind(key.tenant.as_uuid())
                .bind(key.idempotency_hash.as_ref().map(<[u8; 32]>::as_slice))
                .fetch_optional(tx)
                .await?;
            // Made and deleted again meanwhile: another try makes it.
            let Some(earlier) = earlier else {
                return Err(Error::indefinite());
            };
            let earlier = api_keys::read(&earlier)?;
            Ok(Flow::Rollback(Created::Earlier(Box::new(earlier))))
        })
    }

    async fn replace_unused_secret(
        &self,
        id: ApiKeyId,
        prefix: &str,
        hash: &SecretHash,
    ) -> Result<bool, Error> {
        write!(self.db, |tx| {
            let updated = sqlx::query(sql::REPLACE_SECRET)
                .bind(prefix)
                .bind(hash.as_bytes().as_slice())
                .bind(id.as_uuid())
                .execute(tx)
                .await?;
            Ok(Flow::Commit(updated.rows_affected() == 1))
        })
    }

    async fn api_keys(
        &self,
        tenant: TenantId,
        after: Option<ApiKeyId>,
        limit: u32,
    ) -> Result<Vec<ApiKeyRecord>, Error> {
        let after = after.map_or_else(Uuid::nil, |id| *id.as_uuid());
        read!(self.db, |connection| {
            let rows = sqlx::query(sql::API_KEYS)
                .bind(tenant.as_uuid())
                .bind(after)
                .bind(i64::from(limit))
                .fetch_all(connection)
                .await?;
            rows.iter().map(api_keys::read).collect()
        })
    }

    async fn api_keys_by_prefix(&self, prefix: &str) -> Result<Vec<(ApiKeyRecord, User)>, Error> {
        read!(self.db, |connection| {
            let query = sqlx::query(sql::API_KEYS_BY_PREFIX).bind(prefix);
            let rows = query.fetch_all(connection).await?;
            rows.iter()
                .map(|row| Ok((api_keys::read(row)?, accounts::user(row)?)))
                .collect()
        })
    }

    async fn touch_api_key(&self, id: ApiKeyId, at: DateTime<Utc>) -> Result<(), Error> {
        write!(self.db, |tx| {
            let query = sqlx::query(sql::TOUCH_API_KEY).bind(at).bind(id.as_uuid());
            query.execute(tx).await?;
            Ok(Flow::Commit(()))
        })
    }

    async fn delete_api_key(&self, tenant: TenantId, id: ApiKeyId) -> Result<bool, Error> {
        write!(self.db, |tx| {
            let deleted = sqlx::query(sql::DELETE_API_KEY)
                .bind(tenant.as_uuid())
                .bind(id.as_uuid())
                .execute(tx)
                .await?;
            Ok(Flow::Commit(deleted.rows_affected() == 1))
        })
    }

    async fn adopt_signing_key(
        &self,
        candidate: Option<&SigningKey>,
        now: DateTime<Utc>,
    ) -> Result<Vec<SigningKey>, Error> {
        let Some(key) = candidate else {
            return read!(self.db, |connection| {
                signing_keys(connection, now).await
            });
        };
        write!(self.db, |tx| {
            tx.execute(sql::LOCK_SIGNING_KEYS).await?;
            let keys = signing_keys(tx, now).await?;
            if !keys.is_empty() {
                return Ok(Flow::Rollback(keys));
            }
            sqlx::query(sql::INSERT_SIGNING_KEY)
                .bind(&key.kid)
                .bind(key.private_key.as_slice())
                .bind(&key.public_key)
                .bind(key.created_at)
                .execute(&mut *tx)
                .await?;
            Ok(Flow::Commit(signing_keys(tx, now).await?))
        })
    }

    async fn ping(&self) -> Result<(), Error> {
        self.db.ping().await
    }
}
