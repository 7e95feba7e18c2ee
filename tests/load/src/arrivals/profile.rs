//! How the rate of arrivals moves over time, and its inverse.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A stretch in which the rate moves evenly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Seconds.
    pub lasting: f64,
    /// Arrivals a second at its begin.
    pub from: f64,
    /// And at its end.
    pub to: f64,
}

impl Segment {
    fn arrivals(&self) -> f64 {
        f64::midpoint(self.from, self.to) * self.lasting
    }

    /// Seconds into it at which `count` have arrived.
    fn inverse(&self, count: f64) -> f64 {
        let slope = (self.to - self.from) / self.lasting;
        // from*t + slope*t²/2 = count, in the form that loses no digits when the slope is small.
        let root = (self.from * self.from + 2.0 * slope * count)
            .max(0.0)
            .sqrt();
        let below = self.from + root;
        if below > 0.0 {
            (2.0 * count / below).min(self.lasting)
        } else {
            self.lasting
        }
    }
}

/// The rate over a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    segments: Vec<Segment>,
}

impl Profile {
    /// One stretch after the other.
    pub fn new(segments: Vec<Segment>) -> Self {
        let segments = segments
            .into_iter()
            .filter(|segment| segment.lasting > 0.0)
            .collect();
        Self { segments }
    }

    /// How long it is.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.segments.iter().map(|segment| segment.lasting).sum())
    }

    /// How many are expected in all of it.
    pub fn arrivals(&self) -> f64 {
        self.segments.iter().map(Segment::arrivals).sum()
    }

    /// The highest rate in it.
    pub fn peak(&self) -> f64 {
        let rates = self
            .segments
            .iter()
            .flat_map(|segment| [segment.from, segment.to]);
        rates.fold(0.0, f64::max)
    }

    /// The same with every rate multiplied.
    pub fn times(&self, factor: f64) -> Self {
        self.map(|segment| Segment {
            from: segment.from * factor,
            to: segment.to * factor,
            ..segment
        })
    }

    /// The same over a longer or shorter time.
    pub fn stretched(&self, factor: f64) -> Self {
        self.map(|segment| Segment {
            lasting: segment.lasting * factor,
            ..segment
        })
    }

    fn map(&self, change: impl Fn(Segment) -> Segment) -> Self {
        Self::new(self.segments.iter().copied().map(change).collect())
    }

    /// Reads the inverse at points that never go back.
    pub fn walk(&self) -> Walk<'_> {
        Walk {
            segments: &self.segments,
            begun: 0.0,
            before: 0.0,
        }
    }
}

/// A reader of a profile's inverse.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    segments: &'a [Segment],
    /// Seconds before the first of the segments that are left.
    begun: f64,
    /// Arrivals before it.
    before: f64,
}

impl Walk<'_> {
    /// When `count` have arrived, in seconds; `None` when the profile ends before.
    pub fn time_of(&mut self, count: f64) -> Option<f64> {
        while let Some((segment, rest)) = self.segments.split_first() {
            let arrivals = segment.arrivals();
            if count < self.before + arrivals {
                return Some(self.begun + segment.inverse(count - self.before));
            }
            self.before += arrivals;
            self.begun += segment.lasting;
            self.segments = rest;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_ramp_is_inverted_exactly() {
        // 0 to 10 a second in 10 s: after t seconds t²/2 have arrived.
        let profile = Profile::new(vec![Segment {
            lasting: 10.0,
            from: 0.0,
            to: 10.0,
        }]);
        let mut walk = profile.walk();
        for count in [0.5, 2.0, 8.0, 18.0, 49.9] {
            let time = walk.time_of(count).unwrap();
            assert!(
                (time * time / 2.0 - count).abs() < 1e-9,
                "{count} at {time}"
            );
        }
        assert_eq!(walk.time_of(50.0), None);
    }

    proptest! {
        #[test]
        fn the_inverse_undoes_the_integral(
            rates in proptest::collection::vec((0.1_f64..50.0, 0.0_f64..500.0, 0.0_f64..500.0), 1..6),
            share in 0.0_f64..0.999,
        ) {
            let segments: Vec<Segment> = rates.iter()
                .map(|&(lasting, from, to)| Segment { lasting, from, to }).collect();
            let profile = Profile::new(segments.clone());
            let count = profile.arrivals() * share;
            prop_assume!(profile.arrivals() > 1.0);
            let time = profile.walk().time_of(count).unwrap();
            let (mut left, mut sum) = (time, 0.0);
            for segment in &segments {
                let inside = left.min(segment.lasting);
                let slope = (segment.to - segment.from) / segment.lasting;
                sum += segment.from * inside + slope * inside * inside / 2.0;
                left -= inside;
            }
            prop_assert!((sum - count).abs() < 1e-6 * profile.arrivals(), "{sum} for {count}");
        }
    }
}
