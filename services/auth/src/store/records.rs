use std::fmt;

use chrono::{DateTime, Utc};
use touchstone_types::{ApiKeyId, Role, TenantId, UserId};
use zeroize::Zeroizing;

use crate::domain::session::Family;
use crate::secrets::{FamilySeed, SecretHash};

/// A customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Id.
    pub id: TenantId,
    /// Name.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A user. `Debug` shows neither address nor hash.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Id.
    pub id: UserId,
    /// Tenant.
    pub tenant: TenantId,
    /// Address as it was typed.
    pub email: String,
    /// Address in lower case.
    pub email_key: String,
    /// Argon2id in PHC form.
    pub password_hash: String,
    /// What the user may do.
    pub role: Role,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// A user with the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub user: User,
    /// The user's tenant.
    pub tenant: Tenant,
}

/// A login that begins.
#[derive(Clone, Debug)]
pub struct NewFamily {
    /// The login, at generation 0.
    pub family: Family,
    /// What its tokens are derived from.
    pub seed: FamilySeed,
    /// Its first token.
    pub token: SecretHash,
}

/// A refresh token that was presented.
#[derive(Clone, Debug)]
pub struct OfferedToken {
    /// Its number in the family.
    pub generation: u32,
    /// The family.
    pub family: Family,
    /// What the family's tokens are derived from.
    pub seed: FamilySeed,
}

/// An address from which an account was opened.
#[derive(Clone, Copy, Debug)]
pub struct KnownAddress {
    /// Hash over account and address.
    pub fingerprint: [u8; 32],
    /// When.
    pub seen_at: DateTime<Utc>,
}

/// An API key without its secret.
#[derive(Clone, Debug)]
pub struct ApiKeyRecord {
    /// Id.
    pub id: ApiKeyId,
    /// Tenant.
    pub tenant: TenantId,
    /// Who made it and whose role it has.
    pub user: UserId,
    /// Name.
    pub name: String,
    /// The first characters of the secret.
    pub prefix: String,
    /// Hash of the secret.
    pub hash: SecretHash,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Hash of the `Idempotency-Key` it was made with.
    pub idempotency_hash: Option<[u8; 32]>,
    /// Hash of the request it was made by.
    pub request_hash: [u8; 32],
}

/// What became of a creating call.
#[derive(Clone, Debug)]
pub enum Created {
    /// It was made.
    New,
    /// An earlier call with the same idempotency hash made this one.
    Earlier(Box<ApiKeyRecord>),
}

/// A key that signs access tokens. `Debug` shows no private part.
#[derive(Clone)]
pub struct SigningKey {
    /// Key id: the thumbprint of the public key (RFC 7638).
    pub kid: String,
    /// Ed25519 in PKCS#8 DER.
    pub private_key: Zeroizing<Vec<u8>>,
    /// base64url without padding.
    pub public_key: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}
