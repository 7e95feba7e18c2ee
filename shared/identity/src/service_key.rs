use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};

use crate::claims::{SERVICE_AUDIENCE, ServiceClaims, TokenType, in_time};
use crate::verifier::decode_strictly;
use crate::{Caller, CallerKind, Error, RequestContext};

/// `kid` that marks a service token.
pub(crate) const SERVICE_KID: &str = "service";
/// Shortest accepted key.
const MIN_BYTES: usize = 32;
/// Lifetime of a service token.
const LIFETIME_SECONDS: i64 = 60;
const LEEWAY: Duration = Duration::from_secs(5);

/// The secret that the services of one deployment share to vouch for each other.
#[derive(Clone)]
pub struct ServiceKey(Arc<(EncodingKey, DecodingKey)>);

impl ServiceKey {
    /// A key of at least 32 bytes; `None` when it is shorter.
    pub fn new(secret: &[u8]) -> Option<Self> {
        let keys = || {
            (
                EncodingKey::from_secret(secret),
                DecodingKey::from_secret(secret),
            )
        };
        (secret.len() >= MIN_BYTES).then(|| Self(Arc::new(keys())))
    }

    /// A token with which `service` acts for `caller` for the next minute.
    pub fn mint(
        &self,
        service: &str,
        caller: &Caller,
        now: DateTime<Utc>,
    ) -> Result<String, Error> {
        let claims = ServiceClaims {
            aud: SERVICE_AUDIENCE.into(),
            sub: service.into(),
            tenant: caller.tenant,
            user: caller.user,
            role: caller.role,
            typ: TokenType::Service,
            iat: now.timestamp(),
            exp: now.timestamp() + LIFETIME_SECONDS,
        };
        let header = Header {
            kid: Some(SERVICE_KID.into()),
            ..Header::new(Algorithm::HS256)
        };
        jsonwebtoken::encode(&header, &claims, &self.0.0).map_err(|_| Error::Invalid)
    }

    pub(crate) fn verify(
        &self,
        token: &str,
        context: RequestContext,
        now: DateTime<Utc>,
    ) -> Result<Caller, Error> {
        let claims: ServiceClaims = decode_strictly(token, &self.0.1, Algorithm::HS256)?;
        let holds = claims.typ == TokenType::Service
            && claims.aud == SERVICE_AUDIENCE
            && in_time(claims.iat, claims.exp, now, LEEWAY);
        if !holds {
            return Err(Error::Invalid);
        }
        Ok(Caller {
            tenant: claims.tenant,
            user: claims.user,
            role: claims.role,
            kind: CallerKind::Service(claims.sub.into()),
            context,
        })
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceKey(***)")
    }
}
