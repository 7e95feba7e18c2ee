use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use moka::sync::Cache;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use touchstone_types::{Clock, Role, TenantId, UserId};

use crate::service_key::SERVICE_KID;
use crate::{
    API_KEY_PREFIX, AccessClaims, AccessPolicy, Caller, CallerKind, Error, MAX_CREDENTIAL_BYTES,
    RequestContext, ServiceKey,
};

/// Verdicts that are remembered.
const VERDICTS: u64 = 20_000;
/// How long a verdict on an API key is believed: a deleted key works no longer than this.
const API_KEY_TTL: Duration = Duration::from_secs(5);
/// How long a good access token is not verified again; its expiry is checked all the same.
const TOKEN_TTL: Duration = Duration::from_mins(1);
/// Pause between two fetches of the public keys, so that forged key ids cause no storm.
const REFETCH_PAUSE: Duration = Duration::from_secs(10);
/// The same after a fetch that failed: shorter, since genuine tokens wait for it too.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A public key of auth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Key id.
    pub kid: String,
    /// Ed25519 public key, base64url.
    pub x: String,
}

/// What auth says of an API key that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyVerdict {
    /// Whose.
    pub user: UserId,
    /// The user's tenant.
    pub tenant: TenantId,
    /// The user's role.
    pub role: Role,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Auth could not be asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("auth cannot be asked: {0}")]
pub struct KeySourceError(pub String);

/// Where keys and verdicts come from: auth, through its client.
#[async_trait]
pub trait KeySource: Send + Sync + 'static {
    /// The public keys in force.
    async fn public_keys(&self) -> Result<Vec<PublicKey>, KeySourceError>;
    /// Judges an API key; `None` when it does not hold.
    async fn api_key(&self, key: &str) -> Result<Option<ApiKeyVerdict>, KeySourceError>;
}

/// When the public keys were asked for, and why they did not come, if so.
type Fetch = (Instant, Option<KeySourceError>);

/// Verifies credentials in every service, in both transports.
pub struct Verifier {
    policy: AccessPolicy,
    clock: Arc<dyn Clock>,
    service_key: ServiceKey,
    /// Set when tokens are signed with a shared secret; then no public key is accepted.
    shared: Option<DecodingKey>,
    source: Arc<dyn KeySource>,
    keys: RwLock<HashMap<String, DecodingKey>>,
    /// When the keys were last asked for; the lock makes refetches single-flight.
    fetched: tokio::sync::Mutex<Option<Fetch>>,
    tokens: Cache<[u8; 32], Arc<AccessClaims>>,
    api_keys: Cache<[u8; 32], Option<ApiKeyVerdict>>,
}

impl Verifier {
    /// A verifier of tokens by `source`'s public keys, or by `shared_secret` (HS256) if given.
    pub fn new(
        policy: AccessPolicy,
        clock: Arc<dyn Clock>,
        service_key: ServiceKey,
        shared_secret: Option<&[u8]>,
        source: Arc<dyn KeySource>,
    ) -> Self {
        Self {
            policy,
            clock,
            service_key,
            shared: shared_secret.map(DecodingKey::from_secret),
            source,
            keys: RwLock::default(),
            fetched: tokio::sync::Mutex::default(),
            tokens: Cache::builder()
                .max_capacity(VERDICTS)
                .time_to_live(TOKEN_TTL)
                .build(),
            api_keys: Cache::builder()
                .max_capacity(VERDICTS)
                .time_to_live(API_KEY_TTL)
                .build(),
        }
    }

    /// The caller behind a credential.
    pub async fn verify(&self, credential: &str, context: RequestContext) -> Result<Caller, Error> {
        if credential.is_empty() || credential.len() > MAX_CREDENTIAL_BYTES {
            return Err(Error::Invalid);
        }
        if credential.starts_with(API_KEY_PREFIX) {
            return self.verify_api_key(credential, context).await;
        }
        let digest: [u8; 32] = Sha256::digest(credential).into();
        if let Some(claims) = self.tokens.get(&digest) {
            return self.admit(&claims, context);
        }
        let header = jsonwebtoken::decode_header(credential).map_err(|_| Error::Invalid)?;
        if header.kid.as_deref() == Some(SERVICE_KID) {
            return self
                .service_key
                .verify(credential, context, self.clock.now());
        }
        let claims = match &self.shared {
            Some(secret) => decode_strictly(credential, secret, Algorithm::HS256)?,
            None => {
                let kid = header.kid.ok_or(Error::Invalid)?;
                let key = self.public_key(&kid).await?;
                decode_strictly(credential, &key, Algorithm::EdDSA)?
            }
        };
        let caller = self.admit(&claims, context)?;
        self.tokens.insert(digest, Arc::new(claims));
        Ok(caller)
    }

    /// The claims of an access token that holds (auth's `/auth/validate` needs its expiry).
    pub async fn access_claims(&self, token: &str) -> Result<AccessClaims, Error> {
        let context = RequestContext::background("claims");
        self.verify(token, context).await?;
        let digest: [u8; 32] = Sha256::digest(token).into();
        self.tokens
            .get(&digest)
            .map(|claims| (*claims).clone())
            .ok_or(Error::Invalid)
    }

    /// What access tokens must say: auth signs by the same rules.
    pub fn policy(&self) -> &AccessPolicy {
        &self.policy
    }

    /// Forgets what is known about an API key (auth calls it when one is deleted).
    pub fn forget_api_keys(&self) {
        self.api_keys.invalidate_all();
    }

    fn admit(&self, claims: &AccessClaims, context: RequestContext) -> Result<Caller, Error> {
        if !self.policy.admits(claims, self.clock.now()) {
            return Err(Error::Invalid);
        }
        Ok(Caller {
            tenant: claims.tenant,
            user: claims.sub,
            role: claims.role,
            kind: CallerKind::User,
            context,
        })
    }

    async fn verify_api_key(&self, key: &str, context: RequestContext) -> Result<Caller, Error> {
        let digest: [u8; 32] = Sha256::digest(key).into();
        let verdict = match self.api_keys.get(&digest) {
            Some(verdict) => verdict,
            None => {
                let verdict = self.source.api_key(key).await.map_err(Error::Unavailable)?;
                self.api_keys.insert(digest, verdict.clone());
                verdict
            }
        };
        let verdict = verdict.ok_or(Error::Invalid)?;
        if verdict
            .expires_at
            .is_some_and(|end| end <= self.clock.now())
        {
            return Err(Error::Invalid);
        }
        Ok(Caller {
            tenant: verdict.tenant,
            user: verdict.user,
            role: verdict.role,
            kind: CallerKind::ApiKey,
            context,
        })
    }

    /// A known key; an unknown id causes at most one fetch per [`REFETCH_PAUSE`], and while auth
    /// fails one per [`RETRY_PAUSE`].
    async fn public_key(&self, kid: &str) -> Result<DecodingKey, Error> {
        if let Some(key) = self.known_key(kid) {
            return Ok(key);
        }
        let mut fetched = self.fetched.lock().await;
        if let Some(key) = self.known_key(kid) {
            return Ok(key);
        }
        match &*fetched {
            Some((at, None)) if at.elapsed() < REFETCH_PAUSE => return Err(Error::Invalid),
            Some((at, Some(failure))) if at.elapsed() < RETRY_PAUSE => {
                return Err(Error::Unavailable(failure.clone()));
            }
            _ => {}
        }
        let published = self.source.public_keys().await;
        *fetched = Some((Instant::now(), published.as_ref().err().cloned()));
        let published = published.map_err(Error::Unavailable)?;
        let published = published
            .into_iter()
            .filter_map(|key| Some((key.kid, DecodingKey::from_ed_components(&key.x).ok()?)));
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = published.collect();
        self.known_key(kid).ok_or(Error::Invalid)
    }

    fn known_key(&self, kid: &str) -> Option<DecodingKey> {
        self.keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(kid)
            .cloned()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// Checks signature and algorithm and reads the claims into their strict type. Times, issuer and
/// audience are the caller's to check: the library skips them where a claim is absent.
pub(crate) fn decode_strictly<C: DeserializeOwned>(
    token: &str,
    key: &DecodingKey,
    algorithm: Algorithm,
) -> Result<C, Error> {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    jsonwebtoken::decode::<C>(token, key, &validation)
        .map(|token| token.claims)
        .map_err(|_| Error::Invalid)
}
