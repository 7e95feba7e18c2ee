//! When requests are to begin: a seeded schedule of absolute times, known before the first is sent.
//!
//! Every form of open load is a rate that moves over time (a [`Profile`]) and a burstiness: events of
//! rate 1 with the wanted spacing are mapped through the inverse of the rate's integral. The schedule
//! is the same for the same seed, on every machine and for every number of workers.

mod profile;
mod random;
mod spec;

pub use profile::{Profile, Segment, Walk};
pub use random::Random;
pub use spec::{Arrivals, SpecError};

use std::time::Duration;

/// One request that is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its place in the schedule.
    pub number: u64,
    /// When, from the begin of the phase.
    pub at: Duration,
    /// Decides everything else about it.
    pub draw: u64,
}

/// The arrivals of a phase, in order.
#[derive(Clone, Debug)]
pub struct Schedule<'a> {
    walk: Walk<'a>,
    burstiness: f64,
    random: Random,
    /// Arrivals so far at rate 1.
    reached: f64,
    number: u64,
}

impl<'a> Schedule<'a> {
    /// `burstiness` is the squared variation of the gaps: 0 evenly spaced, 1 Poisson, above 1 bursty.
    pub fn new(profile: &'a Profile, burstiness: f64, seed: u64, phase: u64) -> Self {
        Self {
            walk: profile.walk(),
            burstiness,
            random: Random::new(seed, phase),
            reached: 0.0,
            number: 0,
        }
    }
}

impl Iterator for Schedule<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        if self.burstiness > 0.0 {
            self.reached += self.random.gamma(1.0 / self.burstiness);
        } else {
            // Counted, not added up: the ten millionth is as exact as the first.
            self.reached = self.number as f64;
        }
        let at = self.walk.time_of(self.reached)?;
        let arrival = Arrival {
            number: self.number,
            at: Duration::from_secs_f64(at),
            draw: self.random.draw(),
        };
        self.number += 1;
        Some(arrival)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(rate: f64, lasting: f64) -> Profile {
        Profile::new(vec![Segment {
            lasting,
            from: rate,
            to: rate,
        }])
    }

    #[test]
    fn a_constant_schedule_has_every_deadline_in_its_place() {
        let profile = steady(200.0, 60.0);
        let all: Vec<Arrival> = Schedule::new(&profile, 0.0, 1, 0).collect();
        assert_eq!(all.len(), 12_000);
        for arrival in &all {
            let wanted = Duration::from_micros(arrival.number * 5_000);
            assert!(
                arrival.at.abs_diff(wanted) < Duration::from_nanos(10),
                "{arrival:?}"
            );
        }
    }

    #[test]
    fn poisson_arrivals_have_gaps_as_long_as_their_deviation() {
        let profile = steady(1000.0, 100.0);
        let times: Vec<f64> = Schedule::new(&profile, 1.0, 3, 0)
            .map(|arrival| arrival.at.as_secs_f64())
            .collect();
        assert!(
            (times.len() as f64 - 100_000.0).abs() < 1_000.0,
            "{}",
            times.len()
        );
        let gaps: Vec<f64> = times.windows(2).map(|two| two[1] - two[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((variance / mean.powi(2) - 1.0).abs() < 0.03);
    }

    #[test]
    fn a_seed_fixes_the_schedule_and_phases_differ() {
        let profile = steady(50.0, 10.0);
        let schedule = |seed, phase| Schedule::new(&profile, 1.0, seed, phase).collect::<Vec<_>>();
        assert_eq!(schedule(9, 0), schedule(9, 0));
        assert_ne!(schedule(9, 0), schedule(9, 1));
        assert_ne!(schedule(9, 0), schedule(10, 0));
    }
}
