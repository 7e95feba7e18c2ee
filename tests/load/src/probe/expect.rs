//! What a load tester should tell of each probe, in closed form.

use std::time::Duration;

use super::script::{Probe, QUEUE_SERVICE};

/// How a probe is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Asked {
    /// Requests a second, evenly.
    pub rate: f64,
    /// For how long.
    pub lasting: Duration,
}

/// What of a probe is asked otherwise than usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Multiplies how long it lasts.
    pub scale: f64,
    /// Requests a second, instead of its own.
    pub rate: Option<f64>,
}

impl Pace {
    /// The usual rate for another time.
    pub const fn scaled(scale: f64) -> Self {
        Self { scale, rate: None }
    }
}

/// A quantity of a tool's report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantity {
    /// Requests in all.
    Requests,
    /// Share of them that failed.
    ErrorShare,
    /// A quantile, in milliseconds.
    Quantile(f64),
}

/// What it should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// Of what.
    pub quantity: Quantity,
    /// The value.
    pub value: f64,
    /// How far from it is still right.
    pub tolerance: f64,
}

/// Milliseconds that a machine may add to what it is told to take.
const SLACK_MS: f64 = 6.0;

impl Probe {
    /// How it is asked.
    pub fn asked(self, pace: Pace) -> Asked {
        let (rate, seconds) = match self {
            Self::Freeze => (200.0, 60.0),
            Self::Queue => (60.0, 10.0),
            _ => (100.0, 20.0),
        };
        Asked {
            rate: pace.rate.unwrap_or(rate),
            lasting: Duration::from_secs_f64(seconds * pace.scale),
        }
    }

    /// What is to be told.
    pub fn expected(self, asked: Asked) -> Vec<Expected> {
        let seconds = asked.lasting.as_secs_f64();
        let requests = (asked.rate * seconds).round();
        let count = Expected {
            quantity: Quantity::Requests,
            value: requests,
            tolerance: requests * 0.005 + 1.0,
        };
        let failed = |share: f64| Expected {
            quantity: Quantity::ErrorShare,
            value: share,
            tolerance: 0.002 + 1.0 / requests,
        };
        let at = |quantile: f64, millis: f64| Expected {
            quantity: Quantity::Quantile(quantile),
            value: millis,
            tolerance: SLACK_MS + millis * 0.01,
        };
        match self {
            Self::Steady => vec![count, failed(0.0), at(0.5, 20.0), at(0.99, 20.0)],
            Self::Freeze => {
                let frozen = self
                    .frozen(asked.lasting)
                    .map_or(0.0, |(from, to)| to.saturating_sub(from).as_secs_f64());
                // Of the share that was due while it stood still, waits are even from all of it to nothing.
                let share = frozen / seconds;
                let wait = |q: f64| (frozen * (1.0 - (1.0 - q) / share)).max(0.0) * 1e3;
                vec![
                    count,
                    failed(0.0),
                    at(0.5, wait(0.5)),
                    at(0.9, wait(0.9)),
                    at(0.99, wait(0.99)),
                ]
            }
            Self::Bimodal => vec![failed(0.0), at(0.5, 5.0), at(0.9, 5.0), at(0.99, 200.0)],
            Self::Errors | Self::Reset | Self::Cut | Self::Wrong => vec![failed(0.1)],
            Self::Bucket => vec![count, failed(0.25)],
            Self::SlowBody => vec![failed(0.0), at(0.5, 150.0)],
            Self::Stream => vec![failed(0.0), at(0.5, 200.0), at(0.99, 200.0)],
            Self::Queue => {
                // One server, asked more often than it can: each one waits longer than the one before.
                let service = QUEUE_SERVICE.as_secs_f64();
                let more = (service - 1.0 / asked.rate).max(0.0);
                let wait = |q: f64| (service + q * requests * more) * 1e3;
                vec![count, failed(0.0), at(0.5, wait(0.5)), at(0.99, wait(0.99))]
            }
            Self::Close => vec![count, failed(0.0), at(0.5, 0.0)],
            Self::Redirect => vec![failed(0.0)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(probe: Probe, quantity: Quantity) -> f64 {
        let all = probe.expected(probe.asked(Pace::scaled(1.0)));
        all.iter()
            .find(|expected| expected.quantity == quantity)
            .unwrap()
            .value
    }

    #[test]
    fn the_closed_forms_are_those_of_the_books() {
        // 10 s of 60 s: the last sixth waits evenly from 0 to 10 s.
        assert!((value(Probe::Freeze, Quantity::Quantile(0.9)) - 4_000.0).abs() < 1e-6);
        assert!((value(Probe::Freeze, Quantity::Quantile(0.99)) - 9_400.0).abs() < 1e-6);
        assert!(value(Probe::Freeze, Quantity::Quantile(0.5)).abs() < 1e-9);
        // 600 requests at 60 a second, served at 50 a second.
        assert!((value(Probe::Queue, Quantity::Quantile(0.5)) - 1_020.0).abs() < 1e-6);
        assert!((value(Probe::Bucket, Quantity::ErrorShare) - 0.25).abs() < 1e-9);
    }

    #[test]
    fn scripts_have_the_shares_that_are_expected() {
        for probe in [Probe::Errors, Probe::Bucket] {
            let failed = (0..1000)
                .filter(|number| probe.reply(*number).status >= 400)
                .count();
            assert!((failed as f64 / 1000.0 - value(probe, Quantity::ErrorShare)).abs() < 1e-9);
        }
        let slow = (0..1000).filter(|number| {
            Probe::Bimodal.reply(*number).before_head > Duration::from_millis(100)
        });
        assert_eq!(slow.count(), 50);
    }
}
