use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use touchstone_types::{FamilyId, Role, TenantId, UserId};

/// What a token is for; one kind never passes for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// For requests of a user.
    Access,
    /// For requests of a service.
    Service,
}

/// Claims of an access token. Times are whole seconds since 1970; strings or fractions there make
/// the token invalid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Issuer.
    pub iss: String,
    /// Audience: exactly one.
    pub aud: String,
    /// User.
    pub sub: UserId,
    /// Tenant.
    pub tenant: TenantId,
    /// Role.
    pub role: Role,
    /// Always `access`.
    pub typ: TokenType,
    /// Issued at.
    pub iat: i64,
    /// Not before.
    pub nbf: i64,
    /// Expires at.
    pub exp: i64,
    /// Token id.
    pub jti: String,
    /// Family of refresh tokens: the login that it stems from.
    pub fam: FamilyId,
}

/// Claims of a service token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceClaims {
    /// Always [`SERVICE_AUDIENCE`].
    pub aud: String,
    /// The service that calls.
    pub sub: String,
    /// Tenant on whose behalf.
    pub tenant: TenantId,
    /// User on whose behalf.
    pub user: UserId,
    /// The user's role.
    pub role: Role,
    /// Always `service`.
    pub typ: TokenType,
    /// Issued at.
    pub iat: i64,
    /// Expires at.
    pub exp: i64,
}

/// Audience of service tokens.
pub(crate) const SERVICE_AUDIENCE: &str = "touchstone-services";

/// What an access token must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessPolicy {
    /// Required `iss`.
    pub issuer: String,
    /// Required `aud`.
    pub audience: String,
    /// Clock difference that is forgiven.
    pub leeway: Duration,
}

impl Default for AccessPolicy {
    fn default() -> Self {
        Self {
            issuer: "touchstone".into(),
            audience: "touchstone".into(),
            leeway: Duration::from_secs(5),
        }
    }
}

impl AccessPolicy {
    /// Whether the claims hold at `now`.
    pub(crate) fn admits(&self, claims: &AccessClaims, now: DateTime<Utc>) -> bool {
        claims.typ == TokenType::Access
            && claims.iss == self.issuer
            && claims.aud == self.audience
            && in_time(claims.nbf, claims.exp, now, self.leeway)
    }
}

/// Whether `now` lies in `[nbf - leeway, exp + leeway)`.
pub(crate) fn in_time(nbf: i64, exp: i64, now: DateTime<Utc>, leeway: Duration) -> bool {
    let (now, leeway) = (now.timestamp(), leeway.as_secs().cast_signed());
    nbf <= now.saturating_add(leeway) && now < exp.saturating_add(leeway)
}
