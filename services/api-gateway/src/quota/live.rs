//! Limits that change while the gateway runs.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use touchstone_error::{Classify, ErrorKind};
use touchstone_identity::Caller;
use touchstone_types::{TenantId, UserId};
use utoipa::ToSchema;

use super::plans::Plans;
use super::{Algorithm, Limits, Quotas, addresses};

/// Changes that are remembered.
const CHANGES: usize = 50;

/// The limits in force and how they came about.
#[derive(Debug)]
pub(crate) struct Live {
    pub plans: Plans,
    /// 0 as configured; counts up with each change.
    pub version: u64,
    /// Names exactly this state.
    pub etag: String,
    /// The latest changes, latest first.
    pub changes: Vec<Change>,
}

/// Somebody changed the limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Change {
    /// The version that it made.
    pub version: u64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub user: UserId,
    /// Of which tenant.
    pub tenant: TenantId,
    /// Parts that changed.
    pub parts: Vec<String>,
}

/// What gateways share.
#[derive(Debug, Serialize, Deserialize)]
struct Shared {
    limits: Limits,
    changes: Vec<Change>,
}

/// Why limits were not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The request does not say which state it changes.
    #[error("send the `ETag` of the state that you change as `If-Match`")]
    NoMatch,
    /// They were changed in the meantime.
    #[error("the limits have been changed in the meantime; read them again")]
    Changed,
    /// They break rules.
    #[error("{0}")]
    Invalid(String),
    /// The place that gateways share is out of reach.
    #[error("the limits cannot be changed while the store is away")]
    Away(#[source] touchstone_cache::Error),
}

impl Classify for ConfigError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoMatch => ErrorKind::PreconditionRequired,
            Self::Changed => ErrorKind::PreconditionFailed,
            Self::Invalid(_) => ErrorKind::Unprocessable,
            Self::Away(_) => ErrorKind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NoMatch => "gateway.config_no_match",
            Self::Changed => "gateway.config_changed",
            Self::Invalid(_) => "gateway.config_invalid",
            Self::Away(_) => "gateway.config_away",
        }
    }
}

impl Live {
    /// As the configuration says.
    pub fn configured(limits: Limits, algorithm: Algorithm, leases: bool) -> Self {
        Self::new(limits, 0, Vec::new(), algorithm, leases)
    }

    fn new(
        limits: Limits,
        version: u64,
        changes: Vec<Change>,
        algorithm: Algorithm,
        leases: bool,
    ) -> Self {
        let text = serde_json::to_vec(&limits).unwrap_or_default();
        let digest = hex(&Sha256::digest(&text)[..8]);
        Self {
            plans: Plans::new(limits, algorithm, leases),
            etag: format!("\"{version}-{digest}\""),
            version,
            changes,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Quotas {
    /// Takes over what another gateway changed, and puts back what the store has forgotten.
    pub(super) async fn look_at_limits(&self) {
        let _one = self.changing.lock().await;
        let live = self.live();
        match self.shared.read().await {
            Ok(Some((version, value))) if version != live.version => {
                match serde_json::from_slice::<Shared>(&value) {
                    Ok(shared) if shared.limits.mistakes().is_empty() => {
                        tracing::info!(version, "limits were changed by another gateway");
                        self.apply(shared.limits, version, shared.changes);
                    }
                    _ => tracing::warn!(version, "the shared limits cannot be read; keeping ours"),
                }
            }
            Ok(None) if live.version > 0 => {
                if let Some(value) = shared_form(&live.plans.limits, &live.changes) {
                    let _ = self.shared.replace(0, live.version, value).await;
                }
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Changes the limits, here at once and in the other gateways within a second.
    pub async fn change(
        &self,
        caller: &Caller,
        known: Option<&str>,
        limits: Limits,
    ) -> Result<Arc<Live>, ConfigError> {
        let known = known.ok_or(ConfigError::NoMatch)?;
        let mistakes: Vec<String> = limits
            .mistakes()
            .into_iter()
            .map(|(key, message)| format!("`{key}`: {message}"))
            .collect();
        if !mistakes.is_empty() {
            return Err(ConfigError::Invalid(mistakes.join("; ")));
        }
        let _one = self.changing.lock().await;
        let live = self.live();
        if known.trim() != live.etag {
            return Err(ConfigError::Changed);
        }
        let version = live.version + 1;
        let change = Change {
            version,
            at: self.clock.now(),
            user: caller.user,
            tenant: caller.tenant,
            parts: differing(&live.plans.limits, &limits),
        };
        let (user, tenant, parts) = (change.user, change.tenant, change.parts.join(", "));
        let mut changes = live.changes.clone();
        changes.insert(0, change);
        changes.truncate(CHANGES);
        if let Some(value) = shared_form(&limits, &changes) {
            let replaced = self.shared.replace(live.version, version, value).await;
            if !replaced.map_err(ConfigError::Away)? {
                return Err(ConfigError::Changed);
            }
        }
        tracing::info!(
            user.id = %user, tenant.id = %tenant, version, parts, "the limits were changed"
        );
        self.apply(limits, version, changes);
        Ok(self.live())
    }

    fn apply(&self, limits: Limits, version: u64, changes: Vec<Change>) {
        if limits.address != self.live().plans.limits.address {
            self.addresses.store(Arc::new(addresses(limits.address)));
        }
        let live = Live::new(limits, version, changes, self.algorithm, self.leases);
        self.live.store(Arc::new(live));
        // Leases and denials belong to limits that are gone.
        self.store.limits_changed();
    }
}

fn shared_form(limits: &Limits, changes: &[Change]) -> Option<Bytes> {
    let shared = Shared {
        limits: limits.clone(),
        changes: changes.to_vec(),
    };
    serde_json::to_vec(&shared).ok().map(Bytes::from)
}

/// Names of the parts that are not the same.
fn differing(before: &Limits, after: &Limits) -> Vec<String> {
    let of = |limits: &Limits| serde_json::to_value(limits).unwrap_or_default();
    let (before, after) = (of(before), of(after));
    let mut parts = Vec::new();
    for (name, value) in after.as_object().into_iter().flatten() {
        match (before.get(name), value.as_object()) {
            (Some(old), _) if old == value => {}
            (Some(old), Some(members)) => {
                let names = members
                    .keys()
                    .chain(old.as_object().into_iter().flat_map(|o| o.keys()));
                let names = names.filter(|key| old.get(key) != value.get(key));
                parts.extend(names.map(|key| format!("{name}.{key}")));
            }
            _ => parts.push(name.clone()),
        }
    }
    parts.sort();
    parts.dedup();
    parts
}
