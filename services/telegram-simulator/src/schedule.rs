//! Seeded schedules: what happens in a channel, and what goes wrong meanwhile.
//!
//! A client that ends with the truth after any of them has lost nothing.

use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::control::PostRequest;
use crate::faults::{Armed, Fault};
use crate::scenario::{ChannelScenario, Language, Scenario, TooLong};
use crate::simulator::Simulator;

/// A seeded schedule; the same seed makes the same one.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// What it follows from.
    pub seed: u64,
    /// The world that it plays in: one channel, [`Schedule::NAME`].
    pub scenario: Scenario,
    /// What happens, in this order, each with the milliseconds that pass after it.
    pub steps: Vec<(Step, u64)>,
}

/// A step of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Posts are published at once.
    Post {
        /// How many.
        count: u32,
        /// Whether they are an album.
        album: bool,
    },
    /// A post is edited.
    Edit {
        /// Which one, in thousandths of the numbers given so far.
        place: i32,
    },
    /// Neighbouring posts are deleted.
    Delete {
        /// Where they begin, as for edits.
        place: i32,
        /// How many.
        count: i32,
    },
    /// Something is going to go wrong.
    Fault(Armed),
}

/// Longest pause after a step, in milliseconds: a client asks what happened after most of them.
const LONGEST_PAUSE: u64 = 80;

/// Methods that calls fail at; `None` is any.
const METHODS: [Option<&str>; 4] = [
    None,
    Some("messages.getHistory"),
    Some("updates.getChannelDifference"),
    Some("updates.getChannelDifference"),
];

impl Schedule {
    /// Public name of the channel.
    pub const NAME: &'static str = "durov";
    /// Its bare id.
    pub const CHANNEL: i64 = 1_006_503_122;

    /// Makes a schedule.
    pub fn seeded(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let scenario = Scenario {
            seed,
            channels: 0,
            channel: vec![ChannelScenario {
                username: Some(Self::NAME.into()),
                title: "Pavel Durov".into(),
                language: Language::En,
                posts: rng.random_range(1..700),
                group: false,
                invite: None,
                joined: true,
            }],
            gzip: rng.random(),
            too_long: match rng.random_range(0..3_u32) {
                0 => TooLong::Limit,
                1 => TooLong::Behind { changes: 30 },
                _ => TooLong::Behind { changes: 100_000 },
            },
            ..Scenario::default()
        };
        let count = rng.random_range(12..40);
        let steps = (0..count)
            .map(|_| (Step::random(&mut rng), rng.random_range(0..LONGEST_PAUSE)))
            .collect();
        Self {
            seed,
            scenario,
            steps,
        }
    }

    /// Lets everything happen in `simulator`, which was started with the schedule's scenario, and
    /// ends with a post that nothing goes wrong with.
    pub async fn play(&self, simulator: &Simulator) {
        for (number, (step, pause)) in self.steps.iter().enumerate() {
            step.happen(number, simulator);
            tokio::time::sleep(Duration::from_millis(*pause)).await;
        }
        simulator.disarm();
        simulator.post(Self::CHANNEL, PostRequest::text("the end"));
    }
}

impl Step {
    fn random(rng: &mut impl Rng) -> Self {
        let place = rng.random_range(1..1_000);
        match rng.random_range(0..22_u32) {
            0..6 => Self::Post {
                count: rng.random_range(1..4),
                album: false,
            },
            6 => Self::Post {
                count: rng.random_range(2..5),
                album: true,
            },
            7 => Self::Post {
                count: rng.random_range(20..260),
                album: false,
            },
            8..12 => Self::Edit { place },
            12..15 => Self::Delete {
                place,
                count: rng.random_range(1..30),
            },
            _ => Self::Fault(fault(rng)),
        }
    }

    fn happen(&self, number: usize, simulator: &Simulator) {
        let channel = Schedule::CHANNEL;
        let newest = || {
            let of = |world: &crate::World| world.channel(channel).map(crate::Channel::last_id);
            simulator.read(of).unwrap_or_default()
        };
        let at = |place: i32| (i64::from(newest()) * i64::from(place) / 1_000 + 1) as i32;
        match self {
            Self::Post { count, album } => {
                for part in 0..*count {
                    let post = PostRequest {
                        grouped_id: album.then_some(1_000 + number as i64),
                        ..PostRequest::text(format!("step {number}, post {part}"))
                    };
                    simulator.post(channel, post);
                }
            }
            Self::Edit { place } => {
                simulator.edit(channel, at(*place), &format!("edited at step {number}"));
            }
            Self::Delete { place, count } => {
                let first = at(*place);
                let ids: Vec<i32> = (first..first + count).collect();
                simulator.delete(channel, &ids);
            }
            Self::Fault(armed) => simulator.arm(armed.clone()),
        }
    }
}

/// A fault that a client has to survive, and where it strikes.
fn fault(rng: &mut impl Rng) -> Armed {
    let seconds = [-3_600, 3_600][rng.random_range(0..2_usize)];
    let failed = |message: &str| Fault::Error {
        code: 500,
        message: message.into(),
    };
    let fault = match rng.random_range(0..20_u32) {
        0..2 | 18 => Fault::DropPush,
        2..4 => Fault::Reorder,
        4..6 => Fault::TooLong {
            with_pts: rng.random(),
        },
        6 => Fault::MalformedUpdate,
        7..9 => Fault::SaltRotation,
        9 => Fault::Flood { seconds: 1 },
        10 => failed("RPC_CALL_FAIL"),
        11 => failed("RPC_MCGET_FAIL"),
        12 => Fault::Delay {
            ms: rng.random_range(5..200),
        },
        13..15 => Fault::Reset,
        15 => Fault::HalfOpen,
        16 => Fault::Transport {
            status: [404, 429][rng.random_range(0..2_usize)],
        },
        17 => Fault::WrongSession,
        _ => Fault::ClockSkew { seconds },
    };
    let method = METHODS[rng.random_range(0..METHODS.len())];
    let times = match &fault {
        Fault::DropPush | Fault::Reorder | Fault::TooLong { .. } => rng.random_range(1..6),
        _ => 1,
    };
    // There are many updates, and few calls.
    let (of_updates, skip) = (fault.is_of_updates(), rng.random_range(0..4));
    Armed {
        method: method.filter(|_| !of_updates).map(str::to_owned),
        skip: if of_updates { skip } else { skip / 2 },
        times,
        fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_differ_by_seed_alone_and_hold_every_kind_of_fault() {
        assert_eq!(Schedule::seeded(7), Schedule::seeded(7));
        assert_ne!(Schedule::seeded(7).steps, Schedule::seeded(8).steps);
        let steps = (0..200).flat_map(|seed| Schedule::seeded(seed).steps);
        let kinds: std::collections::BTreeSet<String> = steps
            .filter_map(|(step, _)| match step {
                Step::Fault(armed) => Some(armed.fault.name()),
                _ => None,
            })
            .collect();
        assert_eq!(kinds.len(), 13, "{kinds:?}");
    }
}
