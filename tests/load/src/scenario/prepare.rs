//! From what a scenario says to what is run.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::builtin::nearest;
use super::file::UsersSpec;
use super::{LoadSpec, Scenario, ScenarioError};
use crate::arrivals::Schedule;
use crate::engine::{Load, Phase, Plan};
use crate::objectives::Objective;
use crate::steps::{Registry, Step};

/// What the command line changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// Users of every closed phase.
    pub users: Option<u64>,
    /// Peak rate of every open phase.
    pub rate: Option<f64>,
    /// How long every phase lasts.
    pub duration: Option<Duration>,
    /// What every duration is multiplied by.
    pub scale: Option<f64>,
    /// Seed of everything that is drawn.
    pub seed: u64,
}

/// A class of users, ready.
#[derive(Clone, Debug)]
pub struct PreparedClass {
    /// First of its accounts.
    pub first_account: usize,
    /// How many.
    pub accounts: usize,
    /// Its steps: sum of weights up to this one, and which.
    pub steps: Vec<(u64, usize)>,
}

/// A scenario that can be run.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What it was made of.
    pub scenario: Scenario,
    /// For the engine.
    pub plan: Plan,
    /// The steps that are used.
    pub steps: Vec<Arc<dyn Step>>,
    /// Kinds of request, by number.
    pub endpoints: Vec<String>,
    /// First kind of request of each step.
    pub bases: Vec<u16>,
    /// Kinds of users.
    pub classes: Vec<PreparedClass>,
    /// Of each phase: sums of the weights of the classes that take part, and which.
    pub shares: Vec<Vec<(u64, usize)>>,
}

impl Prepared {
    /// Checks everything that can be known before the run.
    pub fn new(
        scenario: Scenario,
        overrides: &Overrides,
        registry: Registry,
        folder: &Path,
    ) -> Result<Self, ScenarioError> {
        let wrong = |reason: String| ScenarioError::Wrong {
            name: scenario.name.clone(),
            reason,
        };
        let plan = plan(&scenario, overrides, folder).map_err(wrong)?;
        Self::planned(scenario, plan, registry)
    }

    /// The same for a plan that was made elsewhere: where overrides and files were.
    pub fn planned(
        scenario: Scenario,
        plan: Plan,
        registry: Registry,
    ) -> Result<Self, ScenarioError> {
        let wrong = |reason: String| ScenarioError::Wrong {
            name: scenario.name.clone(),
            reason,
        };
        crate::faults::check(&scenario.faults, &plan).map_err(wrong)?;
        let registry = registry
            .with_requests(&scenario.requests, &scenario.sockets)
            .map_err(wrong)?;
        let (mut steps, mut endpoints, mut bases) = (Vec::new(), Vec::new(), Vec::new());
        let mut names: Vec<&str> = Vec::new();
        let (mut classes, mut account) = (Vec::new(), scenario.accounts.count);
        for class in &scenario.classes {
            let mut own = Vec::new();
            let mut sum = 0;
            for weighted in &class.steps {
                let name = weighted.step.as_str();
                let at = match names.iter().position(|known| *known == name) {
                    Some(at) => at,
                    None => {
                        let step = registry
                            .find(name)
                            .ok_or_else(|| unknown(name, &registry))
                            .map_err(wrong)?;
                        bases.push(endpoints.len() as u16);
                        endpoints.extend(step.endpoints().iter().map(|own| (*own).clone()));
                        names.push(name);
                        steps.push(step);
                        steps.len() - 1
                    }
                };
                sum += u64::from(weighted.weight);
                own.push((sum, at));
            }
            let (first_account, accounts) = match &class.narrow {
                Some(narrow) => {
                    account += narrow.accounts;
                    (account - narrow.accounts, narrow.accounts)
                }
                None => (0, scenario.accounts.count),
            };
            if sum == 0 || class.weight == 0 {
                return Err(wrong(format!("the class `{}` does nothing", class.name)));
            }
            classes.push(PreparedClass {
                first_account,
                accounts,
                steps: own,
            });
        }
        if classes.is_empty() {
            return Err(wrong("it has no classes of users".into()));
        }
        let shares = shares(&scenario).map_err(wrong)?;
        for step in &steps {
            if step.needs_account() && account == 0 {
                return Err(wrong(format!("`{}` needs accounts", step.name())));
            }
        }
        let prepared = Self {
            scenario,
            plan,
            steps,
            endpoints,
            bases,
            classes,
            shares,
        };
        prepared.check_objectives()?;
        Ok(prepared)
    }

    /// Objectives may only speak of what there is.
    fn check_objectives(&self) -> Result<(), ScenarioError> {
        let ratings = self.scenario.ratings.iter().flat_map(|rating| &rating.when);
        for objective in self.scenario.objectives.iter().chain(ratings) {
            let wrong = |what: &str, name: &str, nearest: Option<&str>| ScenarioError::Wrong {
                name: self.scenario.name.clone(),
                reason: format!(
                    "the objective `{objective}` speaks of the {what} `{name}`, which there is not{}",
                    nearest.map_or_else(String::new, |nearest| format!(
                        "; did you mean `{nearest}`?"
                    ))
                ),
            };
            let phases = || self.plan.phases.iter().map(|phase| phase.name.as_str());
            if let Some(name) = &objective.phase
                && !phases().any(|known| known == name)
            {
                return Err(wrong("phase", name, nearest(name, phases())));
            }
            let endpoints = || self.endpoints.iter().map(String::as_str);
            if let Some(name) = &objective.endpoint
                && !endpoints().any(|known| known == name)
            {
                return Err(wrong("request", name, nearest(name, endpoints())));
            }
        }
        Ok(())
    }

    /// Accounts in all, those of narrow plans last.
    pub fn accounts(&self) -> usize {
        let narrow = self
            .scenario
            .classes
            .iter()
            .filter_map(|class| class.narrow.as_ref());
        self.scenario.accounts.count + narrow.map(|narrow| narrow.accounts).sum::<usize>()
    }

    /// Whether a step is done by whoever runs the target.
    pub fn needs_operator(&self) -> bool {
        self.steps.iter().any(|step| step.needs_operator())
    }

    /// Which class, account and step it is in a phase: by turns for users, drawn under open load.
    pub fn choose(&self, phase: usize, user: u64, draw: u64) -> (usize, Option<usize>, usize) {
        let is_open = self.plan.phases[phase].load.is_open();
        let shares = &self.shares[phase];
        let weights = shares.last().map_or(1, |(until, _)| *until);
        // Spread, so that any number of users has every class in its share.
        let place = if is_open {
            below(draw, weights)
        } else {
            user.wrapping_mul(FIBONACCI)
        };
        let place = if is_open {
            place
        } else {
            below(place, weights)
        };
        let share = shares.partition_point(|(until, _)| *until <= place);
        let class_at = shares[share.min(shares.len() - 1)].1;
        let class = &self.classes[class_at];
        let spread = draw.wrapping_mul(FIBONACCI).rotate_left(17);
        let account = (class.accounts > 0).then(|| {
            let own = if is_open {
                below(spread, class.accounts as u64)
            } else {
                user % class.accounts as u64
            };
            class.first_account + own as usize
        });
        let all = class.steps.last().map_or(1, |(sum, _)| *sum);
        let place = below(draw.rotate_left(32), all);
        let step = class.steps.partition_point(|(sum, _)| *sum <= place);
        (
            class_at,
            account,
            class.steps[step.min(class.steps.len() - 1)].1,
        )
    }

    /// What is fixed by the seed, as one number: every deadline of open load, and what is drawn for it.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.plan.seed.to_le_bytes());
        for (number, phase) in self.plan.phases.iter().enumerate() {
            hash.update(phase.name.as_bytes());
            match &phase.load {
                Load::Open {
                    profile,
                    burstiness,
                } => {
                    for arrival in
                        Schedule::new(profile, *burstiness, self.plan.seed, number as u64)
                    {
                        hash.update(arrival.at.as_nanos().to_le_bytes());
                        let (class, account, step) =
                            self.choose(number, arrival.number, arrival.draw);
                        hash.update([class as u8, step as u8]);
                        hash.update(account.unwrap_or_default().to_le_bytes());
                    }
                }
                closed => hash.update(format!("{closed:?}")),
            }
        }
        for fault in &self.scenario.faults {
            hash.update(format!("{fault:?}"));
        }
        hex::encode(hash.finalize())
    }

    /// Objectives of everything.
    pub fn objectives(&self) -> &[Objective] {
        &self.scenario.objectives
    }
}

/// 2^64 divided by the golden ratio: multiples of it are spread evenly.
const FIBONACCI: u64 = 0x9E37_79B9_7F4A_7C15;

/// The high part of a product: even for every `end`.
fn below(draw: u64, end: u64) -> u64 {
    ((u128::from(draw) * u128::from(end)) >> 64) as u64
}

/// Who takes part in which phase, and with which weight.
fn shares(scenario: &Scenario) -> Result<Vec<Vec<(u64, usize)>>, String> {
    let names = || scenario.classes.iter().map(|class| class.name.as_str());
    let each = scenario.phases.iter().map(|phase| {
        if let Some(wrong) = phase
            .classes
            .iter()
            .find(|own| !names().any(|name| name == *own))
        {
            let hint = nearest(wrong, names());
            let hint = hint.map_or_else(String::new, |hint| format!("; did you mean `{hint}`?"));
            return Err(format!(
                "phase `{}`: there is no class `{wrong}`{hint}",
                phase.name
            ));
        }
        let takes_part = |name: &String| phase.classes.is_empty() || phase.classes.contains(name);
        let mut until = 0;
        let classes = scenario.classes.iter().enumerate();
        Ok(classes
            .filter(|(_, class)| takes_part(&class.name))
            .map(|(at, class)| {
                until += u64::from(class.weight);
                (until, at)
            })
            .collect())
    });
    each.collect()
}

fn unknown(name: &str, registry: &Registry) -> String {
    let hint = nearest(name, registry.names());
    let hint = hint.map_or_else(String::new, |hint| format!("; did you mean `{hint}`?"));
    format!("there is no step `{name}`{hint}")
}

fn plan(scenario: &Scenario, overrides: &Overrides, folder: &Path) -> Result<Plan, String> {
    let scale = overrides.scale.unwrap_or(1.0);
    if !(scale > 0.0 && scale <= 1000.0) {
        return Err(format!(
            "--scale is {scale}; it must be above 0 and at most 1000"
        ));
    }
    if let Some(rate) = overrides.rate
        && !(rate > 0.0 && rate <= 10_000_000.0)
    {
        return Err(format!(
            "--rate is {rate}; it must be above 0 and what one machine can mean"
        ));
    }
    if overrides.users == Some(0) || overrides.users > Some(1_000_000) {
        return Err("--users must be at least 1 and at most 1000000".into());
    }
    let mut phases = Vec::new();
    for spec in &scenario.phases {
        let load = load(&spec.load, overrides, scale, folder)
            .map_err(|reason| format!("phase `{}`: {reason}", spec.name))?;
        phases.push(Phase {
            name: spec.name.clone(),
            load,
        });
    }
    if phases.is_empty() {
        return Err("it has no phases".into());
    }
    Ok(Plan {
        phases,
        seed: overrides.seed,
        in_flight: scenario.in_flight,
        drain: scenario.timeout + Duration::from_secs(1),
    })
}

fn load(spec: &LoadSpec, overrides: &Overrides, scale: f64, folder: &Path) -> Result<Load, String> {
    Ok(match spec {
        LoadSpec::Open(arrivals) => {
            let profile = arrivals
                .profile(folder)
                .map_err(|error| error.to_string())?;
            let mut profile = match overrides.duration {
                Some(duration) => {
                    profile.stretched(duration.as_secs_f64() / profile.duration().as_secs_f64())
                }
                None => profile.stretched(scale),
            };
            if let Some(rate) = overrides.rate {
                profile = profile.times(rate / profile.peak());
            }
            if profile.arrivals() < 1.0 {
                return Err("nothing would arrive in so short a time".into());
            }
            Load::Open {
                burstiness: arrivals.burstiness(),
                profile,
            }
        }
        LoadSpec::Users(UsersSpec::Users {
            users,
            spawn_rate,
            duration,
            think,
        }) => {
            if spawn_rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
                return Err("`spawn_rate` must be above 0".into());
            }
            let duration = overrides
                .duration
                .unwrap_or_else(|| duration.mul_f64(scale));
            if *users == 0 || duration.is_zero() {
                return Err("it needs users and time".into());
            }
            Load::Closed {
                users: overrides.users.unwrap_or(*users),
                spawn_rate: *spawn_rate,
                think: *think,
                duration,
            }
        }
        LoadSpec::Users(UsersSpec::Count { requests, users }) => Load::Count {
            requests: *requests,
            users: overrides.users.unwrap_or(*users).max(1),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        name = "own"
        about = "Of the tests."
        objectives = ["p95 < 1s for front"]
        [[phases]]
        name = "all"
        load = { kind = "constant", rate = 100, duration = "10s", burstiness = 1 }
        [[phases]]
        name = "users"
        load = { kind = "users", users = 10, duration = "10s" }
        [[phases]]
        name = "few"
        classes = ["few"]
        load = { kind = "users", users = 10, duration = "10s" }
        [[classes]]
        name = "most"
        weight = 3
        steps = [{ step = "front", weight = 3 }, { step = "back" }]
        [[classes]]
        name = "few"
        steps = [{ step = "back" }]
        [requests.front]
        path = "/"
        [requests.back]
        path = "/back"
    "#;

    fn prepared(text: &str, overrides: &Overrides) -> Result<Prepared, ScenarioError> {
        let scenario = Scenario::parse("own", text)?;
        Prepared::new(scenario, overrides, Registry::default(), Path::new("."))
    }

    #[test]
    fn a_seed_fixes_the_digest() {
        let digest = |seed| {
            let overrides = Overrides {
                seed,
                ..Overrides::default()
            };
            prepared(TEXT, &overrides).unwrap().digest()
        };
        assert_eq!(digest(1), digest(1));
        assert_ne!(digest(1), digest(2));
    }

    #[test]
    fn classes_and_steps_have_their_shares() {
        let prepared = prepared(TEXT, &Overrides::default()).unwrap();
        let mut random = crate::arrivals::Random::new(3, 0);
        for phase in [0, 1] {
            let mut counts = [[0_u32; 2]; 2];
            for user in 0..10_000 {
                let (class, account, step) = prepared.choose(phase, user, random.draw());
                counts[class][step] += 1;
                assert_eq!(account, None);
            }
            // 3/4 of the users, 3/4 of whom go to the front.
            assert!(
                (f64::from(counts[0][0]) / 5_625.0 - 1.0).abs() < 0.05,
                "{counts:?}"
            );
            assert!(
                (f64::from(counts[1][1]) / 2_500.0 - 1.0).abs() < 0.05,
                "{counts:?}"
            );
            assert_eq!(counts[1][0], 0);
        }
    }

    #[test]
    fn a_phase_may_be_of_some_classes_only() {
        let prepared_own = prepared(TEXT, &Overrides::default()).unwrap();
        let mut random = crate::arrivals::Random::new(3, 0);
        let classes = (0..1000).map(|user| prepared_own.choose(2, user, random.draw()).0);
        assert!(classes.into_iter().all(|class| class == 1));
        let mistaken = TEXT.replace("classes = [\"few\"]", "classes = [\"fewer\"]");
        let error = prepared(&mistaken, &Overrides::default()).unwrap_err();
        assert!(error.to_string().contains("did you mean `few`?"), "{error}");
    }

    #[test]
    fn the_command_line_changes_rates_and_times() {
        let overrides = Overrides {
            rate: Some(10.0),
            scale: Some(0.5),
            ..Overrides::default()
        };
        let plan = prepared(TEXT, &overrides).unwrap().plan;
        let Load::Open { profile, .. } = &plan.phases[0].load else {
            panic!("open")
        };
        assert_eq!(profile.arrivals().round() as u64, 50);
        assert_eq!(plan.phases[0].load.duration(), Some(Duration::from_secs(5)));
    }

    #[test]
    fn mistakes_are_told_before_anything_is_sent() {
        let told =
            |text: &str, overrides: &Overrides| prepared(text, overrides).unwrap_err().to_string();
        let plain = Overrides::default();
        assert!(
            told(&TEXT.replace("step = \"front\"", "step = \"frnt\""), &plain)
                .contains("did you mean `front`?")
        );
        assert!(
            told(&TEXT.replace("for front", "for fronts"), &plain)
                .contains("did you mean `front`?")
        );
        assert!(told(&TEXT.replace("for front", "in al"), &plain).contains("did you mean `all`?"));
        assert!(told(&TEXT.replace("p95 < 1s", "p95 < 1"), &plain).contains("is no duration"));
        assert!(told(&TEXT.replace("rate = 100", "rate = -4"), &plain).contains("`rate` is -4"));
        assert!(told(&TEXT.replace("about", "abuot"), &plain).contains("unknown field"));
        let overrides = Overrides {
            rate: Some(f64::NAN),
            ..Overrides::default()
        };
        assert!(told(TEXT, &overrides).contains("--rate is NaN"));
        let overrides = Overrides {
            scale: Some(0.0),
            ..Overrides::default()
        };
        assert!(told(TEXT, &overrides).contains("--scale is 0"));
    }
}
