//! What auth keeps: accounts, logins, keys. One trait, one contract suite for every backend.

mod postgres;
mod records;
mod sqlite;

#[cfg(test)]
mod contract;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use touchstone_store::postgres::Options;
use touchstone_store::{Backend, Error, StoreUri};
use touchstone_types::{ApiKeyId, FamilyId, TenantId, UserId};

pub use postgres::{EXPLAINED, PostgresStore};
pub use records::{
    Account, ApiKeyRecord, Created, KnownAddress, NewFamily, OfferedToken, SigningKey, Tenant, User,
};
pub use sqlite::SqliteStore;

use crate::domain::session::{EndReason, Family};
use crate::secrets::SecretHash;

/// Opens the store that a URI names and brings its schema up to date.
///
/// # Errors
/// As [`Error`]; an unknown scheme is one of them.
pub async fn open(uri: &StoreUri, options: &Options) -> Result<Arc<dyn Store>, Error> {
    Ok(match uri.backend()? {
        Backend::Sqlite => Arc::new(SqliteStore::open(uri.as_str()).await?),
        Backend::Postgres => Arc::new(PostgresStore::open(uri.as_str(), options).await?),
    })
}

/// The durable state of auth. Every method is one transaction; lookups that find nothing are
/// `Ok(None)`.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Makes a tenant with its first user and opens the user's first login; `false` when the
    /// address is taken.
    async fn create_account(
        &self,
        account: &Account,
        family: &NewFamily,
        address: &KnownAddress,
    ) -> Result<bool, Error>;

    /// Adds a user to a tenant that exists; `false` when the address is taken.
    async fn add_user(&self, user: &User) -> Result<bool, Error>;

    /// The user with this address, in lower case.
    async fn user_by_email(&self, email_key: &str) -> Result<Option<User>, Error>;

    /// A user with the tenant.
    async fn account(&self, id: UserId) -> Result<Option<Account>, Error>;

    /// Replaces a password hash by a stronger one of the same password; `false` when `old` is not
    /// the present one any more.
    async fn rehash(&self, user: UserId, old: &str, new: &str) -> Result<bool, Error>;

    /// Sets a new password, ends every login and opens a new one, all or nothing; `false` when
    /// `old` is not the present hash any more.
    async fn change_password(
        &self,
        user: UserId,
        old: &str,
        new: &str,
        family: &NewFamily,
    ) -> Result<bool, Error>;

    /// Whether an account was opened from an address since `since`.
    async fn knows_address(
        &self,
        fingerprint: &[u8; 32],
        since: DateTime<Utc>,
    ) -> Result<bool, Error>;

    /// Opens a login and remembers its address; `false` when `password_hash` is not the user's
    /// present one any more (the password was changed meanwhile).
    async fn open_family(
        &self,
        family: &NewFamily,
        password_hash: &str,
        address: &KnownAddress,
    ) -> Result<bool, Error>;

    /// A login.
    async fn family(&self, id: FamilyId) -> Result<Option<Family>, Error>;

    /// The login that a refresh token belongs to, whether the token is spent or not.
    async fn refresh_token(&self, hash: &SecretHash) -> Result<Option<OfferedToken>, Error>;

    /// Spends the live token, of `generation`, and makes its child the live one; `false` when it
    /// is not the live one any more or the login is over.
    async fn rotate(
        &self,
        family: FamilyId,
        generation: u32,
        child: &SecretHash,
        now: DateTime<Utc>,
    ) -> Result<bool, Error>;

    /// Ends a login; `false` when it was over.
    async fn end_family(
        &self,
        family: FamilyId,
        reason: EndReason,
        now: DateTime<Utc>,
    ) -> Result<bool, Error>;

    /// Deletes logins that expired before `expired` and addresses last seen before `forgotten`.
    async fn purge(&self, expired: DateTime<Utc>, forgotten: DateTime<Utc>) -> Result<u64, Error>;

    /// Adds an API key, or finds the one that was made with the same idempotency hash.
    async fn create_api_key(&self, key: &ApiKeyRecord) -> Result<Created, Error>;

    /// Gives a key that was never used another secret; `false` when it was used or is gone.
    async fn replace_unused_secret(
        &self,
        id: ApiKeyId,
        prefix: &str,
        hash: &SecretHash,
    ) -> Result<bool, Error>;

    /// A tenant's keys by age, `limit` of them after `after`.
    async fn api_keys(
        &self,
        tenant: TenantId,
        after: Option<ApiKeyId>,
        limit: u32,
    ) -> Result<Vec<ApiKeyRecord>, Error>;

    /// The keys whose secrets begin with `prefix`, each with its user.
    async fn api_keys_by_prefix(&self, prefix: &str) -> Result<Vec<(ApiKeyRecord, User)>, Error>;

    /// Notes the use of a key; `at` never goes back.
    async fn touch_api_key(&self, id: ApiKeyId, at: DateTime<Utc>) -> Result<(), Error>;

    /// Deletes a tenant's key; `false` when the tenant has no such key.
    async fn delete_api_key(&self, tenant: TenantId, id: ApiKeyId) -> Result<bool, Error>;

    /// Keeps `candidate` if there is no signing key in force; answers with those in force, the
    /// newest first.
    async fn adopt_signing_key(
        &self,
        candidate: Option<&SigningKey>,
        now: DateTime<Utc>,
    ) -> Result<Vec<SigningKey>, Error>;

    /// Answers when the store does.
    async fn ping(&self) -> Result<(), Error>;
}
