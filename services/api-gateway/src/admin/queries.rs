use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use touchstone_types::{TenantId, UserId};
use touchstone_web::responses::{CallerErrors, QueryErrors};
use touchstone_web::{AppJson, AppQuery, Caller, Problem, RequestError};
use utoipa::{IntoParams, ToSchema};

use crate::address::Place;
use crate::gateway::Gateway;
use crate::quota::{self, Change};

/// Decisions that are shown unless the request says how many.
const DECISIONS: usize = 100;
/// Most that are shown.
const MOST_DECISIONS: usize = 10_000;

/// Which decisions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DecisionsQuery {
    /// How many, 1 to 10,000 (default 100).
    limit: Option<usize>,
    /// Of this policy only, e.g. `quota.subject`, or of all below it, e.g. `quota`.
    policy: Option<String>,
}

/// What the policies decided lately.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Decisions {
    /// Decisions since the start, forgotten ones included.
    heard: u64,
    /// Latest first: policy, target, action, state, until when.
    #[schema(value_type = Vec<Object>)]
    items: Vec<Value>,
}

/// Every refusal, retry and shed: by which policy, in which state, until when.
#[utoipa::path(get, path = "/admin/decisions", tag = "admin", params(DecisionsQuery),
    responses((status = 200, body = Decisions), CallerErrors, QueryErrors))]
pub(super) async fn decisions(
    State(gateway): State<Gateway>,
    caller: Caller,
    AppQuery(query): AppQuery<DecisionsQuery>,
) -> Result<AppJson<Decisions>, Problem> {
    gateway.quotas().require_operator(&caller)?;
    let limit = query.limit.unwrap_or(DECISIONS).clamp(1, MOST_DECISIONS);
    let wanted = |policy: &str| {
        query.policy.as_deref().is_none_or(|wanted| {
            policy
                .strip_prefix(wanted)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let ledger = gateway.quotas().ledger();
    let (heard, entries) = ledger.latest(limit, |entry| wanted(entry.decision.policy));
    let items = entries.iter().map(serde_json::to_value);
    Ok(AppJson(Decisions {
        heard,
        items: items.filter_map(Result::ok).collect(),
    }))
}

/// The services behind the gateway.
#[utoipa::path(get, path = "/admin/upstreams", tag = "admin",
    responses(
        (status = 200, description = "What is known of each instance of each service"),
        CallerErrors))]
pub(super) async fn upstreams(
    State(gateway): State<Gateway>,
    caller: Caller,
) -> Result<AppJson<Value>, Problem> {
    gateway.quotas().require_operator(&caller)?;
    Ok(AppJson(gateway.upstreams()))
}

/// Whose quota.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SubjectQuery {
    /// Tenant of a user.
    tenant: Option<TenantId>,
    /// The user.
    user: Option<UserId>,
    /// Instead of both: an address.
    #[param(value_type = Option<String>)]
    address: Option<IpAddr>,
}

/// Where somebody stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Standing {
    /// The plan.
    plan: String,
    /// Who counts: `memory`, `shared`, or `share` while the store is away.
    mode: &'static str,
    /// Gateways that share the limits, as far as known.
    replicas: u64,
    /// By class, then by window.
    classes: BTreeMap<&'static str, BTreeMap<String, Left>>,
}

/// What is left of a window.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Left {
    /// Of the limit.
    limit: u32,
    /// Units that are left.
    remaining: u64,
    /// Seconds until all are.
    reset_seconds: f64,
}

/// Where a user or an address stands; charges nothing.
#[utoipa::path(get, path = "/admin/quotas", tag = "admin", params(SubjectQuery),
    responses((status = 200, body = Standing), CallerErrors, QueryErrors))]
pub(super) async fn quotas(
    State(gateway): State<Gateway>,
    caller: Caller,
    AppQuery(query): AppQuery<SubjectQuery>,
) -> Result<AppJson<Standing>, Problem> {
    let quotas = gateway.quotas();
    quotas.require_operator(&caller)?;
    let live = quotas.live();
    let (subject, plan) = match (query.tenant, query.user, query.address) {
        (Some(tenant), Some(user), None) => {
            let plan = quotas.plan_of(&live, Some(tenant));
            (quota::user(&tenant, &user), plan)
        }
        (None, None, Some(address)) => {
            let place = Place::of(Some(address));
            (quota::address(place), quotas.plan_of(&live, None))
        }
        _ => {
            let detail = "expected `tenant` and `user`, or `address`".to_owned();
            return Err(RequestError::Invalid(detail).into());
        }
    };
    let mut classes = BTreeMap::new();
    for (class, policy) in live.plans.of_plan(plan) {
        let standings = quotas.store().standings(&subject, policy).await;
        let windows = policy.windows().zip(standings.iter());
        let windows = windows.map(|(window, standing)| {
            let left = Left {
                limit: window.limit,
                remaining: standing.remaining,
                reset_seconds: standing.reset.as_secs_f64(),
            };
            (window.name.to_string(), left)
        });
        classes.insert(class, windows.collect());
    }
    Ok(AppJson(Standing {
        plan: plan.to_owned(),
        mode: quotas.store().mode().borrow().as_str(),
        replicas: quotas.store().replicas(),
        classes,
    }))
}

/// Who changed the limits.
#[utoipa::path(get, path = "/admin/config/changes", tag = "admin",
    responses((status = 200, body = Vec<Change>), CallerErrors))]
pub(super) async fn changes(
    State(gateway): State<Gateway>,
    caller: Caller,
) -> Result<AppJson<Vec<Change>>, Problem> {
    gateway.quotas().require_operator(&caller)?;
    Ok(AppJson(gateway.quotas().live().changes.clone()))
}
