//! What a scenario file holds.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::arrivals::Arrivals;
use crate::engine::Think;
use crate::objectives::Objective;

/// A scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// The users' accounts; none, and nobody logs in, when absent.
    #[serde(default)]
    pub accounts: Accounts,
    /// Whether 429 and 503 with `Retry-After` are refusals in good form instead of errors.
    #[serde(default)]
    pub sheds: bool,
    /// Longest time of a request.
    #[serde(default = "default_timeout", with = "humantime_serde")]
    pub timeout: Duration,
    /// Most requests under way at a time under open load.
    #[serde(default = "default_in_flight")]
    pub in_flight: usize,
    /// One phase after the other.
    pub phases: Vec<PhaseSpec>,
    /// Kinds of users.
    pub classes: Vec<Class>,
    /// Requests of its own, usable as steps.
    #[serde(default)]
    pub requests: BTreeMap<String, Inline>,
    /// WebSockets of its own, usable as steps.
    #[serde(default)]
    pub sockets: BTreeMap<String, SocketSpec>,
    /// What goes wrong on purpose.
    #[serde(default)]
    pub faults: Vec<crate::faults::Wanted>,
    /// What has to hold.
    #[serde(default)]
    pub objectives: Vec<Objective>,
    /// Names for how well it went, the best first; the first whose objectives all hold.
    #[serde(default)]
    pub ratings: Vec<Rating>,
}

const fn default_timeout() -> Duration {
    Duration::from_secs(30)
}

const fn default_in_flight() -> usize {
    5000
}

/// The accounts of the users.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accounts {
    /// How many, shared among the users by turns.
    pub count: usize,
    /// Documents that each of them has before the run begins.
    pub documents: usize,
}

/// A phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseSpec {
    /// Its name.
    pub name: String,
    /// Its load.
    pub load: LoadSpec,
    /// Classes that take part; all of them when empty.
    #[serde(default)]
    pub classes: Vec<String>,
}

/// The load of a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LoadSpec {
    /// Users who wait for their answers.
    Users(UsersSpec),
    /// Requests that are due.
    Open(Arrivals),
}

/// Closed load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum UsersSpec {
    /// For a time.
    Users {
        /// How many.
        users: u64,
        /// How many begin in a second; all at once when absent.
        #[serde(default)]
        spawn_rate: Option<f64>,
        /// For how long.
        #[serde(with = "humantime_serde")]
        duration: Duration,
        /// Between two iterations.
        #[serde(default)]
        think: Think,
    },
    /// Up to a number of iterations.
    Count {
        /// How many.
        requests: u64,
        /// By how many users.
        users: u64,
    },
}

/// A kind of users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// How many of the users are of this kind, as a share of all weights.
    #[serde(default = "one")]
    pub weight: u32,
    /// What they do.
    pub steps: Vec<WeightedStep>,
    /// Limits of a plan of their own, with accounts of their own.
    #[serde(default)]
    pub narrow: Option<Narrow>,
}

/// A plan of few requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Narrow {
    /// Accounts that have it.
    pub accounts: usize,
    /// Requests in any minute.
    pub minute: u32,
}

const fn one() -> u32 {
    1
}

/// A step of a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightedStep {
    /// Its name: one of `touchstone load steps`, or of the scenario's own requests.
    pub step: String,
    /// How often, as a share of all weights of the class.
    #[serde(default = "one")]
    pub weight: u32,
}

/// A request that a scenario writes itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inline {
    /// Method.
    #[serde(default = "get")]
    pub method: String,
    /// Path and query; `{n}` becomes a number that is drawn, `{user}` that of the user.
    pub path: String,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body; as in the path, `{n}` and `{user}` are replaced.
    #[serde(default)]
    pub body: Option<String>,
    /// Whether the answer is a stream of events.
    #[serde(default)]
    pub stream: bool,
    /// What the answer must be.
    #[serde(default)]
    pub expect: Expected,
}

fn get() -> String {
    "GET".into()
}

/// A WebSocket that a scenario writes itself. An iteration sends a message and waits for the reply.
///
/// Reports tell of `NAME.connect` (until the upgrade), `NAME.message` (until the reply) and
/// `NAME.delivery` (messages of others, from their sending).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketSpec {
    /// Path and query.
    pub path: String,
    /// What is sent; `{n}` becomes a number that is drawn, `{user}` that of the user, `{stamp}` a mark of
    /// sender and moment. With a mark, what comes without it is passed over, and what comes with that of
    /// another one counts as a delivery.
    pub send: String,
    /// What the reply must hold, with the same placeholders.
    #[serde(default)]
    pub expect: String,
    /// Whether the socket stays open until the next iteration of the user.
    #[serde(default = "yes")]
    pub keep: bool,
    /// Whether the account's credential is left out.
    #[serde(default)]
    pub anonymous: bool,
}

const fn yes() -> bool {
    true
}

/// What an answer must be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expected {
    /// One of these; 200 to 299 when empty.
    pub status: Vec<u16>,
    /// It holds this text.
    pub contains: Option<String>,
    /// JSON pointers that lead to these values.
    pub json: BTreeMap<String, serde_json::Value>,
    /// Events at least.
    pub events: usize,
}

/// A name for how well it went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rating {
    /// The name.
    pub name: String,
    /// What has to hold; nothing, for the last one.
    #[serde(default)]
    pub when: Vec<Objective>,
}

/// A scenario that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Unknown, and no file.
    #[error("there is no scenario `{name}`{}; `touchstone load list` shows all", hint(.nearest.as_ref()))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What it resembles.
        nearest: Option<String>,
    },
    /// It is known but needs parts of the stack that are not there.
    #[error("`{name}` is waiting for {what}")]
    Waiting {
        /// Which.
        name: String,
        /// For what.
        what: &'static str,
    },
    /// The file cannot be read.
    #[error("cannot read the scenario `{file}`: {reason}")]
    File {
        /// Which.
        file: String,
        /// Why.
        reason: String,
    },
    /// It says something that cannot be.
    #[error("the scenario `{name}` cannot be run: {reason}")]
    Wrong {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
}

fn hint(nearest: Option<&String>) -> String {
    nearest.map_or_else(String::new, |nearest| {
        format!("; did you mean `{nearest}`?")
    })
}

impl Scenario {
    /// Reads a scenario. `name` says in mistakes where it is from.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        toml::from_str(text).map_err(|error| ScenarioError::File {
            file: name.to_owned(),
            reason: error.to_string(),
        })
    }

    /// Reads a scenario from a file.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path).map_err(|error| ScenarioError::File {
            file: path.display().to_string(),
            reason: error.to_string(),
        })?;
        Self::parse(&path.display().to_string(), &text)
    }
}
