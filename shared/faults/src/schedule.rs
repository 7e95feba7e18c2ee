use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Spec;

/// Most faults of a schedule.
const MOST: usize = 500;

/// A schedule as it is asked for: faults of these kinds, one after the other, now and then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Fixes the schedule; the stack's seed when absent.
    #[serde(default)]
    pub seed: Option<u64>,
    /// How long the schedule is, in milliseconds.
    pub lasting_ms: u64,
    /// From one fault to the next, on average.
    pub every_ms: u64,
    /// How long each one lasts, on average: from half of it to one and a half.
    pub for_ms: u64,
    /// What is chosen from.
    pub faults: Vec<Spec>,
}

/// A schedule: the same for the same seed and wish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// SHA-256 of the faults.
    pub digest: String,
    /// The faults, each with its time.
    pub faults: Vec<Spec>,
}

impl Wanted {
    /// What is wrong with it.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<_> = self.faults.iter().flat_map(Spec::problems).collect();
        let mut rule = |holds: bool, text: &str| {
            if !holds {
                problems.push(text.to_owned());
            }
        };
        rule(!self.faults.is_empty(), "`faults` names none");
        let timed = |spec: &Spec| spec.after_ms > 0 || spec.for_ms.is_some() || spec.seed.is_some();
        rule(
            !self.faults.iter().any(timed),
            "the schedule gives its faults their times and seeds",
        );
        rule(self.for_ms > 1, "`for_ms` must be above 1");
        rule(self.every_ms > 0, "`every_ms` must be positive");
        let expected = self.lasting_ms / self.every_ms.max(1);
        rule(
            expected <= MOST as u64 / 2,
            "a schedule has 250 faults at most: a longer `every_ms`, or a shorter `lasting_ms`",
        );
        problems
    }

    /// Draws the schedule.
    pub fn draw(&self, otherwise: u64) -> Schedule {
        let seed = self.seed.unwrap_or(otherwise);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // Above 0, at most 1.
        let unit =
            |random: &mut ChaCha8Rng| ((random.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        let (mut at, mut faults) = (0.0, Vec::new());
        loop {
            at -= unit(&mut random).ln() * self.every_ms as f64;
            let lasts = (0.5 + unit(&mut random)) * self.for_ms as f64;
            let which = random.next_u64() % self.faults.len().max(1) as u64;
            let own = random.next_u64();
            let Some(spec) = self.faults.get(which as usize) else {
                break;
            };
            if at >= self.lasting_ms as f64 || faults.len() >= MOST {
                break;
            }
            let left = self.lasting_ms as f64 - at;
            faults.push(Spec {
                // Numbers that JSON can hold everywhere.
                seed: Some(own >> 11),
                after_ms: at as u64,
                for_ms: Some((lasts.min(left) as u64).max(1)),
                ..spec.clone()
            });
        }
        let text = serde_json::to_vec(&faults).unwrap_or_default();
        Schedule {
            digest: hex::encode(Sha256::digest(text)),
            faults,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn wanted(seed: u64) -> Wanted {
        Wanted {
            seed: Some(seed),
            lasting_ms: 60_000,
            every_ms: 2_000,
            for_ms: 500,
            faults: vec![Spec::new(Kind::Delay), Spec::new(Kind::Reset)],
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_another_one_another() {
        let (one, other) = (wanted(1).draw(0), wanted(2).draw(0));
        assert_eq!(one, wanted(1).draw(9));
        assert_ne!(one.digest, other.digest);
        assert!((15..60).contains(&one.faults.len()), "{}", one.faults.len());
        let kinds = [Kind::Delay, Kind::Reset];
        assert!(
            kinds
                .iter()
                .all(|kind| one.faults.iter().any(|spec| spec.kind == *kind))
        );
        for spec in &one.faults {
            let lasts = spec.for_ms.unwrap();
            assert!(
                spec.after_ms + lasts <= 60_000 && (1..=750).contains(&lasts),
                "{spec:?}"
            );
            assert_eq!(spec.problems(), Vec::<String>::new());
        }
    }

    #[test]
    fn schedules_that_cannot_be_are_told_why() {
        let mut wrong = wanted(1);
        (wrong.every_ms, wrong.for_ms) = (1, 0);
        wrong.faults[0].for_ms = Some(9);
        assert_eq!(wrong.problems().len(), 3);
        assert_eq!(wanted(1).problems(), Vec::<String>::new());
    }
}
