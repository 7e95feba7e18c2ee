//! Limits as policies that the store understands.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use touchstone_cache::quota::{self, Away, Policy, Rule, Window};

use super::config::{Algorithm, Limits, Plan};
use crate::routes::table::Class;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Scope of what all classes share.
const ALL: &str = "all";
/// Scope of tokens.
const TOKENS: &str = "tokens";

/// The limits in force, ready for use.
#[derive(Debug)]
pub(crate) struct Plans {
    pub limits: Limits,
    plans: HashMap<String, Compiled>,
}

/// One plan.
#[derive(Debug)]
struct Compiled {
    classes: HashMap<Class, Option<Arc<Policy>>>,
    tokens: Option<Arc<Policy>>,
}

impl Plans {
    /// Policies for these limits, which have no mistakes.
    pub fn new(limits: Limits, algorithm: Algorithm, leases: bool) -> Self {
        let compile = |(name, plan): (&String, &Plan)| {
            let compiled = Compiled::new(name, plan, &limits, algorithm, leases);
            (name.clone(), compiled)
        };
        let plans = limits.plans.iter().map(compile).collect();
        Self { limits, plans }
    }

    /// What a request is held to; `None` when its plan sets no limit.
    pub fn requests(&self, plan: &str, class: Class) -> Option<&Arc<Policy>> {
        self.plans.get(plan)?.classes.get(&class)?.as_ref()
    }

    /// What its tokens are held to.
    pub fn tokens(&self, plan: &str) -> Option<&Arc<Policy>> {
        self.plans.get(plan)?.tokens.as_ref()
    }

    /// All policies of a plan, for a look at a caller.
    pub fn of_plan(&self, plan: &str) -> BTreeMap<&'static str, &Arc<Policy>> {
        let Some(plan) = self.plans.get(plan) else {
            return BTreeMap::new();
        };
        let classes = plan.classes.iter();
        let classes = classes.filter_map(|(class, policy)| Some((class.name(), policy.as_ref()?)));
        let tokens = plan.tokens.iter().map(|policy| (TOKENS, policy));
        classes.chain(tokens).collect()
    }
}

impl Compiled {
    fn new(name: &str, plan: &Plan, limits: &Limits, algorithm: Algorithm, leases: bool) -> Self {
        let algorithm = match algorithm {
            Algorithm::Strict => quota::Algorithm::Strict,
            Algorithm::Gcra => quota::Algorithm::Gcra,
        };
        let policy = |label: &str, rules: Vec<Rule>, away: Away| {
            let rules: Vec<_> = rules
                .into_iter()
                .filter(|rule| !rule.windows.is_empty())
                .collect();
            (!rules.is_empty()).then(|| {
                let policy = Policy::new(format!("{name}.{label}"), algorithm, rules);
                Arc::new(policy.away(away).leases(leases))
            })
        };
        let all = rule(
            ALL,
            "",
            [
                (plan.minute, "minute"),
                (plan.hour, "hour"),
                (plan.day, "day"),
            ],
        );
        let classes = Class::ALL.map(|class| {
            let own = plan.classes.get(class.name()).copied().unwrap_or_default();
            let own = rule(
                class.name(),
                &format!("{}-", class.name()),
                [(own.minute, "minute"), (own.hour, "hour"), (own.day, "day")],
            );
            let away = limits.away.get(class.name()).copied();
            let away = away.map_or(Away::Share, Away::from);
            (class, policy(class.name(), vec![all.clone(), own], away))
        });
        let tokens = rule(
            TOKENS,
            "tokens-",
            [
                (plan.tokens_minute, "minute"),
                (0, "hour"),
                (plan.tokens_day, "day"),
            ],
        );
        let away = limits.away.get(Class::Generate.name()).copied();
        let away = away.map_or(Away::Share, Away::from);
        Self {
            classes: classes.into(),
            // Each charge is a reservation that is given back in part: nothing to lease.
            tokens: policy(TOKENS, vec![tokens], away)
                .map(|policy| Arc::new(Policy::clone(&policy).leases(false))),
        }
    }
}

fn rule(scope: &str, prefix: &str, limits: [(u32, &str); 3]) -> Rule {
    let periods = [MINUTE, HOUR, DAY];
    let windows = limits.iter().zip(periods);
    let windows = windows.filter(|((limit, _), _)| *limit > 0);
    let windows = windows.map(|((limit, name), period)| Window {
        name: format!("{prefix}{name}").into(),
        limit: *limit,
        period,
        burst: *limit,
    });
    Rule {
        scope: scope.into(),
        windows: windows.collect(),
    }
}
