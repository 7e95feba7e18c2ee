use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use touchstone_cache::quota::Away;
use touchstone_config::{Problems, Secret};
use touchstone_types::TenantId;
use utoipa::ToSchema;

use crate::address::{self, ProxyHeader};
use crate::routes::table::Class;

/// Quotas.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaConfig {
    /// Where they are counted.
    pub store: Secret,
    /// How limits are meant.
    pub algorithm: Algorithm,
    /// Whether units may be charged in advance for callers that come often.
    pub leases: bool,
    /// Gateways to reckon with until the store has told how many there are.
    pub replicas: u64,
    /// Most callers that are remembered.
    pub subjects: usize,
    /// Networks of proxies whose header is believed, separated by commas.
    pub trusted_proxies: String,
    /// The header that they write.
    pub proxy_header: ProxyHeader,
    /// Tenants whose administrators run this installation, separated by commas.
    pub operators: String,
    /// Decisions that the ledger remembers.
    pub ledger: usize,
    /// What can be changed while it runs.
    pub limits: Limits,
}

/// How limits are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Never more than the limit in any trailing period.
    Strict,
    /// The limit and a burst of as much again, refilled evenly.
    Gcra,
}

/// The limits in force: what `GET /config` shows and `PUT /config` changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GatewayLimits)]
pub struct Limits {
    /// Plan of tenants that are not listed in `tenants`.
    pub plan: String,
    /// Plan of callers without a credential, by address.
    pub anonymous: String,
    /// Plan of the tenants that run this installation.
    pub operator: String,
    /// Plans by name.
    pub plans: BTreeMap<String, Plan>,
    /// Plans of tenants, by the tenant's id.
    #[serde(default)]
    pub tenants: BTreeMap<TenantId, String>,
    /// Requests of one address, before any credential is looked at.
    pub address: AddressLimit,
    /// What happens while the store is away, by class of route; `share` where nothing is said.
    #[serde(default)]
    pub away: BTreeMap<String, AwayPolicy>,
}

/// What callers of a plan may do; 0 sets no limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = GatewayPlan)]
pub struct Plan {
    /// Requests, or items of batches, in any minute.
    pub minute: u32,
    /// In any hour.
    pub hour: u32,
    /// In any day.
    pub day: u32,
    /// Tokens of language models in any minute.
    pub tokens_minute: u32,
    /// In any day.
    pub tokens_day: u32,
    /// Further limits by class of route.
    pub classes: BTreeMap<String, ClassLimit>,
}

/// Limits of one class of routes, beside those of the plan; 0 sets none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = GatewayClassLimit)]
pub struct ClassLimit {
    /// In any minute.
    pub minute: u32,
    /// In any hour.
    pub hour: u32,
    /// In any day.
    pub day: u32,
}

/// Requests of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GatewayAddressLimit)]
pub struct AddressLimit {
    /// In a second, steadily; 0 sets no limit.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// What happens while the store is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = GatewayAwayPolicy)]
pub enum AwayPolicy {
    /// Each gateway admits its share of the limits.
    Share,
    /// Each gateway admits the whole limits.
    Whole,
    /// 503.
    Closed,
}

impl From<AwayPolicy> for Away {
    fn from(policy: AwayPolicy) -> Self {
        match policy {
            AwayPolicy::Share => Self::Share,
            AwayPolicy::Whole => Self::Whole,
            AwayPolicy::Closed => Self::Closed,
        }
    }
}

impl QuotaConfig {
    /// Reports every rule that the values break.
    pub(crate) fn check(&self, problems: &mut Problems) {
        if let Err(error) = touchstone_cache::check(self.store.expose()) {
            problems.add("quota.store", format!("{error} (`REDIS_URL`)"));
        }
        if let Err(message) = address::networks(&self.trusted_proxies) {
            problems.add("quota.trusted_proxies", message);
        }
        if let Err(message) = tenants(&self.operators) {
            problems.add("quota.operators", message);
        }
        problems.check(self.replicas > 0, "quota.replicas", "must be at least 1");
        problems.check(self.subjects > 0, "quota.subjects", "must be at least 1");
        problems.check(self.ledger > 0, "quota.ledger", "must be at least 1");
        for (key, message) in self.limits.mistakes() {
            problems.add(&format!("quota.limits.{key}"), message);
        }
    }
}

impl Limits {
    /// Every rule that they break: which key, and what it must be.
    pub(crate) fn mistakes(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut named = |key: String, plan: &str| {
            if !self.plans.contains_key(plan) {
                found.push((key, format!("there is no plan `{plan}`")));
            }
        };
        named("plan".into(), &self.plan);
        named("anonymous".into(), &self.anonymous);
        named("operator".into(), &self.operator);
        for (tenant, plan) in &self.tenants {
            named(format!("tenants.{tenant}"), plan);
        }
        let classes = self
            .plans
            .iter()
            .flat_map(|(plan, limits)| limits.classes.keys().map(move |class| (plan, class)));
        let names = Class::ALL.map(Class::name);
        for (plan, class) in classes {
            if !names.contains(&class.as_str()) {
                let known = names.join(", ");
                let message = format!("there is no class `{class}`; there are {known}");
                found.push((format!("plans.{plan}.classes"), message));
            }
        }
        for class in self.away.keys() {
            if !names.contains(&class.as_str()) {
                found.push(("away".into(), format!("there is no class `{class}`")));
            }
        }
        for name in self.plans.keys().filter(|name| !is_name(name)) {
            let message = "must have 1 to 64 letters, digits, `-` or `_`".to_owned();
            found.push((format!("plans.{}", name.escape_debug()), message));
        }
        let AddressLimit { per_second, burst } = self.address;
        if per_second > 0 && burst == 0 {
            found.push(("address".into(), "must be at least 1".to_owned()));
        }
        found
    }
}

fn is_name(text: &str) -> bool {
    let good = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    (1..=64).contains(&text.len()) && text.chars().all(good)
}

/// Ids of tenants, separated by commas.
pub(crate) fn tenants(text: &str) -> Result<Vec<TenantId>, String> {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let read = |part: &str| {
        part.parse()
            .map_err(|_| "expected ids of tenants, separated by commas".to_owned())
    };
    parts.map(read).collect()
}
