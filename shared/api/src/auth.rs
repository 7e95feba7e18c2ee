//! auth: users, sessions, keys.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use touchstone_types::{ApiKeyId, Role, TenantId, UserId};
use utoipa::ToSchema;

/// `POST /auth/register`: a new user in a tenant of its own.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// Login name; any address-like text of 3 to 254 characters with an `@`.
    #[schema(
        min_length = 3,
        max_length = 254,
        pattern = r"^[^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+$",
        examples("ada@example.org")
    )]
    pub email: String,
    /// 8 to 128 characters, taken byte for byte.
    #[schema(min_length = 8, max_length = 128)]
    pub password: String,
    /// Name of the tenant to be made; the e-mail's local part when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100)]
    pub tenant_name: Option<String>,
}

/// `POST /auth/login`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// Login name.
    #[schema(min_length = 1, max_length = 254)]
    pub email: String,
    /// Password.
    #[schema(min_length = 1, max_length = 128)]
    pub password: String,
}

/// `POST /auth/refresh` and `POST /auth/logout`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// The refresh token in hand; it is spent by this call.
    #[schema(min_length = 1, max_length = 512)]
    pub refresh_token: String,
}

/// `POST /auth/password`: every other login of the user ends.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePasswordRequest {
    /// The present password.
    #[schema(min_length = 1, max_length = 128)]
    pub current_password: String,
    /// The new one: 8 to 128 characters, taken byte for byte.
    #[schema(min_length = 8, max_length = 128)]
    pub new_password: String,
}

/// A pair of tokens.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenResponse {
    /// JWT for `Authorization: Bearer`.
    pub access_token: String,
    /// Opaque, single use.
    pub refresh_token: String,
    /// Always `Bearer`.
    #[schema(examples("Bearer"))]
    pub token_type: String,
    /// Lifetime of the access token in seconds.
    pub expires_in: u64,
}

/// `POST /auth/validate`: does a token or an API key hold?
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidateRequest {
    /// An access token or an API key.
    #[schema(min_length = 1, max_length = 8192)]
    pub token: String,
}

/// Answer of `POST /auth/validate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ValidateResponse {
    /// Whether it holds; everything below is present only then.
    pub valid: bool,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The user's tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// What the user may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// When it ends; absent for an API key without an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// Answer of `GET /auth/me`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Id.
    pub id: UserId,
    /// Login name.
    pub email: String,
    /// Tenant.
    pub tenant_id: TenantId,
    /// Its name.
    pub tenant_name: String,
    /// What the user may do.
    pub role: Role,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
}

/// `POST /auth/api-keys`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApiKeyRequest {
    /// A name to recognise it by.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// Days until it ends; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "crate::whole::optional")]
    #[schema(minimum = 1, maximum = 3650)]
    pub expires_in_days: Option<u32>,
}

/// Answer of `POST /auth/api-keys`; the only time the key is shown.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedApiKey {
    /// The key's description.
    #[serde(flatten)]
    pub info: ApiKey,
    /// The secret, `tsk_…`.
    pub key: String,
}

/// An API key, without its secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// Id.
    pub id: ApiKeyId,
    /// Name.
    pub name: String,
    /// The first characters of the secret, to tell keys apart.
    pub prefix: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<DateTime<Utc>>,
}

/// `GET /.well-known/jwks.json` (RFC 7517). Empty when tokens are signed with a shared secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Jwks {
    /// Public keys.
    pub keys: Vec<Jwk>,
}

/// One public key (RFC 8037 for Ed25519).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Jwk {
    /// Key type, `OKP`.
    pub kty: String,
    /// Curve, `Ed25519`.
    pub crv: String,
    /// Key id.
    pub kid: String,
    /// Public key, base64url without padding.
    pub x: String,
    /// `EdDSA`.
    pub alg: String,
    /// `sig`.
    #[serde(rename = "use")]
    pub use_: String,
}

/// Answer of `POST /auth/seed-demo`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SeedDemoResponse {
    /// Documents that were accepted by this call.
    pub documents: usize,
}
