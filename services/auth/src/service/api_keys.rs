//! API keys: made, listed, deleted, judged.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use touchstone_api::Page;
use touchstone_api::auth::{ApiKey, CreateApiKeyRequest, CreatedApiKey, ValidateResponse};
use touchstone_error::chain;
use touchstone_identity::{API_KEY_PREFIX, Caller, CallerKind};
use touchstone_types::ApiKeyId;

use super::Auth;
use super::sessions::invalid;
use crate::Error;
use crate::domain::has_chars;
use crate::secrets::{Opaque, SHOWN_CHARS, SecretHash, fingerprint, has_form};
use crate::store::{ApiKeyRecord, Created};

/// Longest name in characters.
const MAX_NAME_CHARS: usize = 100;
/// Longest lifetime in days.
const MAX_DAYS: u32 = 3650;
/// Longest `Idempotency-Key` in bytes.
const MAX_IDEMPOTENCY_BYTES: usize = 255;
const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// What an API key is made of.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// The request.
    pub request: CreateApiKeyRequest,
    /// Makes it repeatable.
    pub idempotency_key: Option<String>,
}

impl Auth {
    /// Makes an API key with the role of its maker.
    ///
    /// A repeated call with the same idempotency key finds the key that the first one made. As
    /// its secret was never stored, the key gets a new one, unless the first was used already.
    ///
    /// # Errors
    /// [`Error::AdminRequired`], [`Error::LoginRequired`] for an API key, [`Error::Field`],
    /// [`Error::IdempotencyReused`], [`Error::AlreadyCreated`].
    pub async fn create_api_key(
        &self,
        caller: &Caller,
        new: NewApiKey,
    ) -> Result<CreatedApiKey, Error> {
        require_manager(caller)?;
        let NewApiKey {
            request,
            idempotency_key,
        } = new;
        let CreateApiKeyRequest {
            name,
            expires_in_days,
        } = request;
        if !has_chars(&name, 1, MAX_NAME_CHARS) {
            return Err(Error::Field {
                field: "name",
                rule: "have 1 to 100 characters",
            });
        }
        if expires_in_days.is_some_and(|days| !(1..=MAX_DAYS).contains(&days)) {
            return Err(Error::Field {
                field: "expires_in_days",
                rule: "be 1 to 3650",
            });
        }
        let user = self
            .0
            .store
            .account(caller.user)
            .await?
            .ok_or(Error::UnknownUser)?
            .user;
        let (now, secret) = (self.now(), Opaque::api_key()?);
        let record = ApiKeyRecord {
            id: self.0.ids.next(),
            tenant: user.tenant,
            user: user.id,
            prefix: shown(secret.expose()),
            hash: secret.hash(),
            created_at: now,
            expires_at: expires_in_days.map(|days| now + TimeDelta::days(days.into())),
            last_used_at: None,
            idempotency_hash: idempotency_key
                .map(|key| idempotency_hash(caller, &key))
                .transpose()?,
            request_hash: fingerprint(&[
                name.as_bytes(),
                &expires_in_days.unwrap_or_default().to_le_bytes(),
            ]),
            name,
        };
        let info = match self.0.store.create_api_key(&record).await? {
            Created::New => record,
            Created::Earlier(earlier) => self.reissue(*earlier, &record).await?,
        };
        Ok(CreatedApiKey {
            info: wire(info),
            key: secret.expose().to_owned(),
        })
    }

    /// The tenant's API keys, oldest first, without their secrets.
    ///
    /// # Errors
    /// [`Error::AdminRequired`], [`Error::Field`].
    pub async fn list_api_keys(
        &self,
        caller: &Caller,
        limit: Option<u32>,
        cursor: Option<&str>,
    ) -> Result<Page<ApiKey>, Error> {
        caller.require_admin().map_err(|_| Error::AdminRequired)?;
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Error::Field {
                field: "limit",
                rule: "be 1 to 200",
            });
        }
        let after = cursor
            .map(str::parse::<ApiKeyId>)
            .transpose()
            .map_err(|_| Error::Cursor)?;
        let mut records = self
            .0
            .store
            .api_keys(caller.tenant, after, limit + 1)
            .await?;
        let more = records.len() > limit as usize;
        records.truncate(limit as usize);
        let next_cursor = records
            .last()
            .filter(|_| more)
            .map(|record| record.id.to_string());
        Ok(Page {
            items: records.into_iter().map(wire).collect(),
            next_cursor,
        })
    }

    /// Deletes an API key; services notice within seconds.
    ///
    /// # Errors
    /// [`Error::AdminRequired`], [`Error::UnknownApiKey`] also for another tenant's key.
    pub async fn delete_api_key(&self, caller: &Caller, id: ApiKeyId) -> Result<(), Error> {
        require_manager(caller)?;
        if !self.0.store.delete_api_key(caller.tenant, id).await? {
            return Err(Error::UnknownApiKey);
        }
        self.0.verifier.forget_api_keys();
        tracing::info!(api_key.id = %id, tenant.id = %caller.tenant, "API key `{id}` was deleted");
        Ok(())
    }

    /// Judges an API key. It is found by its first characters and compared in constant time.
    pub(super) async fn validate_api_key(&self, key: &str) -> Result<ValidateResponse, Error> {
        if !has_form(key, API_KEY_PREFIX) {
            self.0.metrics.api_key(false);
            return Ok(invalid());
        }
        let (now, hash) = (self.now(), SecretHash::of(key));
        let candidates = self.0.store.api_keys_by_prefix(&shown(key)).await?;
        let found = candidates
            .into_iter()
            .filter(|(record, _)| record.hash.matches(&hash))
            .find(|(record, _)| record.expires_at.is_none_or(|end| now < end));
        self.0.metrics.api_key(found.is_some());
        let Some((record, user)) = found else {
            return Ok(invalid());
        };
        self.note_use(&record, now).await;
        Ok(ValidateResponse {
            valid: true,
            user_id: Some(user.id),
            tenant_id: Some(record.tenant),
            role: Some(user.role),
            expires_at: record.expires_at,
        })
    }

    /// Notes the use of a key, to the minute: one write per key and minute. A note that cannot be
    /// written does not make the key worse.
    async fn note_use(&self, record: &ApiKeyRecord, now: DateTime<Utc>) {
        let minute = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
        if record.last_used_at.is_some_and(|noted| noted >= minute) {
            return;
        }
        if let Err(error) = self.0.store.touch_api_key(record.id, minute).await {
            tracing::warn!(api_key.id = %record.id, error = %chain(&error), "a use was not noted");
        }
    }

    /// Gives the key of an earlier call the secret of this one.
    async fn reissue(
        &self,
        earlier: ApiKeyRecord,
        again: &ApiKeyRecord,
    ) -> Result<ApiKeyRecord, Error> {
        if earlier.request_hash != again.request_hash {
            return Err(Error::IdempotencyReused);
        }
        let replaced = self
            .0
            .store
            .replace_unused_secret(earlier.id, &again.prefix, &again.hash)
            .await?;
        if !replaced {
            return Err(Error::AlreadyCreated);
        }
        Ok(ApiKeyRecord {
            prefix: again.prefix.clone(),
            ..earlier
        })
    }
}

/// Keys are managed by administrators who logged in: a key that leaked makes no further ones.
fn require_manager(caller: &Caller) -> Result<(), Error> {
    caller.require_admin().map_err(|_| Error::AdminRequired)?;
    if caller.kind == CallerKind::ApiKey {
        return Err(Error::LoginRequired);
    }
    Ok(())
}

fn idempotency_hash(caller: &Caller, key: &str) -> Result<[u8; 32], Error> {
    let visible = key.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    if key.is_empty() || key.len() > MAX_IDEMPOTENCY_BYTES || !visible {
        return Err(Error::IdempotencyKey);
    }
    Ok(fingerprint(&[
        b"api-key",
        caller.tenant.as_uuid().as_bytes(),
        key.as_bytes(),
    ]))
}

/// The characters of a key that are kept in the clear; keys are ASCII.
fn shown(key: &str) -> String {
    key.chars().take(SHOWN_CHARS).collect()
}

fn wire(record: ApiKeyRecord) -> ApiKey {
    ApiKey {
        id: record.id,
        name: record.name,
        prefix: record.prefix,
        created_at: record.created_at,
        expires_at: record.expires_at,
        last_used_at: record.last_used_at,
    }
}
