//! What a run consists of.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::arrivals::{Profile, Random};

/// One phase after the other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The phases.
    pub phases: Vec<Phase>,
    /// Everything that is drawn depends on it.
    pub seed: u64,
    /// Most requests under way at a time under open load; arrivals beyond are dropped and counted.
    pub in_flight: usize,
    /// How long the end waits for what is under way.
    pub drain: Duration,
}

/// One phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Its load.
    pub load: Load,
}

/// The load of a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Load {
    /// Iterations begin when they are due.
    Open {
        /// When they are due.
        profile: Profile,
        /// How unevenly.
        burstiness: f64,
    },
    /// Users, each of whom begins the next iteration after the end of the last.
    Closed {
        /// How many.
        users: u64,
        /// How many begin in a second; all at once when absent.
        spawn_rate: Option<f64>,
        /// Between two iterations.
        think: Think,
        /// For how long.
        duration: Duration,
    },
    /// A number of iterations, by users without a pause.
    Count {
        /// How many.
        requests: u64,
        /// By how many users.
        users: u64,
    },
}

impl Load {
    /// How long it lasts, if that is known before.
    pub fn duration(&self) -> Option<Duration> {
        match self {
            Self::Open { profile, .. } => Some(profile.duration()),
            Self::Closed { duration, .. } => Some(*duration),
            Self::Count { .. } => None,
        }
    }

    /// Most users at a time, under closed load.
    pub const fn users(&self) -> u64 {
        match self {
            Self::Open { .. } => 0,
            Self::Closed { users, .. } | Self::Count { users, .. } => *users,
        }
    }

    /// Whether requests are due at times of their own.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

/// The pause between two iterations of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Think {
    /// None.
    #[default]
    None,
    /// Always the same.
    Constant {
        /// How long.
        #[serde(with = "humantime_serde")]
        time: Duration,
    },
    /// Anything between two bounds.
    Uniform {
        /// The least.
        #[serde(with = "humantime_serde")]
        from: Duration,
        /// The most.
        #[serde(with = "humantime_serde")]
        to: Duration,
    },
    /// Exponential with this mean, as of people who do not know of each other.
    Exponential {
        /// The mean.
        #[serde(with = "humantime_serde")]
        mean: Duration,
    },
}

impl Think {
    /// The next pause.
    pub fn draw(&self, random: &mut Random) -> Duration {
        match *self {
            Self::None => Duration::ZERO,
            Self::Constant { time } => time,
            Self::Uniform { from, to } => from + to.saturating_sub(from).mul_f64(random.unit()),
            Self::Exponential { mean } => mean.mul_f64(random.exponential()),
        }
    }
}
