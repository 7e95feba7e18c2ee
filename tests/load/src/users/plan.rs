//! The quotas of users under load: a plan like any tenant's, set by whoever runs the target.

use http::HeaderValue;
use serde_json::{Value, json};

use super::api::{Api, ApiError};

/// Plan of users under load.
const PLAN: &str = "load";
/// Prefix of plans of few requests.
const NARROW: &str = "load-narrow-";

/// The limits as they were, to be put back.
#[derive(Debug)]
pub struct Changed {
    before: Value,
    after: Value,
    tag: HeaderValue,
    operator: HeaderValue,
}

/// Opens what stands before the users: the limit by address, and that of callers without credential.
pub async fn open(api: &Api<'_>, operator: &HeaderValue) -> Result<Changed, ApiError> {
    let (before, tag) = api.limits(operator).await?;
    let mut limits = before.clone();
    let plans = &mut limits["plans"];
    if plans[PLAN].is_null() {
        plans[PLAN] =
            json!({"minute": 60_000_000, "hour": 1_000_000_000_u64, "day": 4_000_000_000_u64});
    }
    limits["anonymous"] = PLAN.into();
    limits["address"]["per_second"] = 0.into();
    let tag = api.set_limits(operator, tag, &limits).await?;
    Ok(Changed {
        before,
        after: limits,
        tag,
        operator: operator.clone(),
    })
}

impl Changed {
    /// Gives tenants the plan, or for some a plan of a number of requests a minute.
    pub async fn assign(
        &mut self,
        api: &Api<'_>,
        tenants: impl Iterator<Item = (String, Option<u32>)>,
    ) -> Result<(), ApiError> {
        let (mut limits, tag) = api.limits(&self.operator).await?;
        for (tenant, minute) in tenants {
            let plan = match minute {
                None => PLAN.to_owned(),
                Some(minute) => {
                    let name = format!("{NARROW}{minute}");
                    limits["plans"][&name] = json!({"minute": minute});
                    name
                }
            };
            limits["tenants"][&tenant] = plan.into();
        }
        self.tag = api.set_limits(&self.operator, tag, &limits).await?;
        self.after = limits;
        Ok(())
    }

    /// Puts the limits back, unless somebody else has changed them meanwhile.
    pub async fn undo(self, api: &Api<'_>) -> Result<(), ApiError> {
        let (now, tag) = api.limits(&self.operator).await?;
        // Limits that were written as they are have another name, and are still ours to put back.
        let tag = if now == self.after { tag } else { self.tag };
        api.set_limits(&self.operator, tag, &self.before)
            .await
            .map(drop)
    }
}
