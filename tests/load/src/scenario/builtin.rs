//! The scenarios that come along.

use super::{Scenario, ScenarioError};

/// Name and text of each.
const TEXTS: &[(&str, &str)] = &[
    ("smoke", include_str!("../../scenarios/smoke.toml")),
    ("steady", include_str!("../../scenarios/steady.toml")),
    ("levels", include_str!("../../scenarios/levels.toml")),
    ("peak", include_str!("../../scenarios/peak.toml")),
    (
        "host-network-1000",
        include_str!("../../scenarios/host-network-1000.toml"),
    ),
    ("burst", include_str!("../../scenarios/burst.toml")),
    ("browse", include_str!("../../scenarios/browse.toml")),
    (
        "rate-limit",
        include_str!("../../scenarios/rate-limit.toml"),
    ),
    ("endpoints", include_str!("../../scenarios/endpoints.toml")),
    ("cache", include_str!("../../scenarios/cache.toml")),
    ("stats", include_str!("../../scenarios/stats.toml")),
    ("rag", include_str!("../../scenarios/rag.toml")),
    ("soak", include_str!("../../scenarios/soak.toml")),
    ("slow-llm", include_str!("../../scenarios/slow-llm.toml")),
    (
        "service-failure",
        include_str!("../../scenarios/service-failure.toml"),
    ),
    (
        "login-storm",
        include_str!("../../scenarios/login-storm.toml"),
    ),
];

/// Scenarios that need what is not there yet, and what that is.
const WAITING: &[(&str, &str)] = &[
    (
        "websocket",
        "a service with a WebSocket endpoint (a scenario of your own can have `[sockets]`)",
    ),
    ("bots", "the bots of the Telegram service"),
];

/// A scenario in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// What it shows.
    pub about: String,
    /// What it waits for, if it cannot be run.
    pub waiting_for: Option<&'static str>,
}

/// Every scenario that is known.
pub fn list() -> Vec<Listed> {
    let ready = TEXTS.iter().map(|(name, text)| Listed {
        name: (*name).to_owned(),
        about: Scenario::parse(name, text).map_or_else(|error| error.to_string(), |own| own.about),
        waiting_for: None,
    });
    let waiting = WAITING.iter().map(|(name, what)| Listed {
        name: (*name).to_owned(),
        about: String::new(),
        waiting_for: Some(what),
    });
    ready.chain(waiting).collect()
}

/// A scenario by name.
pub fn builtin(name: &str) -> Result<Scenario, ScenarioError> {
    if let Some((name, text)) = TEXTS.iter().find(|(own, _)| *own == name) {
        return Scenario::parse(name, text);
    }
    if let Some((name, what)) = WAITING.iter().find(|(own, _)| *own == name) {
        return Err(ScenarioError::Waiting {
            name: (*name).to_owned(),
            what,
        });
    }
    let known = TEXTS.iter().map(|(name, _)| *name);
    Err(ScenarioError::Unknown {
        name: name.to_owned(),
        nearest: nearest(name, known).map(str::to_owned),
    })
}

/// The known word that differs least, if it does not differ by much.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let found = known
        .map(|known| (distance(word, known), known))
        .min_by_key(|(distance, _)| *distance)?;
    (found.0 <= word.len().max(4) / 2).then_some(found.1)
}

/// Letters that have to be changed, added or left out.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let change = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, Prepared};
    use crate::steps::Registry;

    #[test]
    fn every_scenario_can_be_run_and_has_objectives() {
        for (name, _) in TEXTS {
            let scenario = builtin(name).unwrap();
            assert_eq!(scenario.name, *name);
            assert!(!scenario.objectives.is_empty(), "{name}");
            assert!(!scenario.about.is_empty(), "{name}");
            let prepared = Prepared::new(
                scenario,
                &Overrides::default(),
                Registry::of_the_stack(),
                std::path::Path::new("."),
            );
            prepared.unwrap();
        }
    }

    #[test]
    fn unknown_names_are_told_with_what_they_resemble() {
        let told = |name| builtin(name).unwrap_err().to_string();
        assert!(told("smok").contains("did you mean `smoke`?"));
        assert!(told("zzzzzzzzzz").contains("no scenario `zzzzzzzzzz`; `touchstone"));
        assert!(told("bots").contains("waiting for the bots"));
    }
}
