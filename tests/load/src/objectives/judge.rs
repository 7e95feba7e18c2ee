//! Whether objectives hold.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Limit, Objective, Subject};
use crate::measure::{Cell, share};

/// What objectives are judged by.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// What matches the objective's endpoint and phase.
    pub cell: &'a Cell,
    /// Arrivals that were not sent, in that phase.
    pub dropped: u64,
    /// How long that lasted.
    pub elapsed: Duration,
    /// Cores of this machine.
    pub cores: u64,
}

/// An objective, judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Which.
    pub objective: String,
    /// Whether it holds.
    pub holds: bool,
    /// What was measured, in words; why not, when nothing was.
    pub measured: String,
}

impl Objective {
    /// Judges it. What was not measured does not hold.
    pub fn judge(&self, measured: Measured<'_>) -> Judged {
        let value = self.value(measured);
        let limit = match self.limit {
            Limit::Time(time) => time.as_secs_f64(),
            Limit::Percent(number) | Limit::Count(number) | Limit::PerSecond(number) => number,
        };
        Judged {
            objective: self.to_string(),
            holds: value.is_some_and(|value| self.relation.holds(value, limit)),
            measured: match value {
                None => "nothing was measured".into(),
                Some(value) => match self.limit {
                    Limit::Time(_) => milliseconds(value),
                    Limit::Percent(_) => format!("{value:.3}%"),
                    Limit::Count(_) => format!("{value}"),
                    Limit::PerSecond(_) => format!("{value:.1}/s"),
                },
            },
        }
    }

    fn value(&self, measured: Measured<'_>) -> Option<f64> {
        let Measured {
            cell,
            dropped,
            elapsed,
            cores,
        } = measured;
        let requests = cell.requests();
        let durations = |measure| {
            cell.durations(measure)
                .filter(|durations| durations.count() > 0)
        };
        let counted = |count: u64, of: u64| match self.limit {
            Limit::Percent(_) => share(count, of) * 100.0,
            _ => count as f64,
        };
        let rate = cell.good as f64 / elapsed.as_secs_f64().max(1e-6);
        Some(match self.subject {
            Subject::Percentile(measure, at) => {
                durations(measure)?.quantile(at / 100.0).as_secs_f64()
            }
            Subject::Mean(measure) => durations(measure)?.mean().as_secs_f64(),
            Subject::Max(measure) => durations(measure)?.max().as_secs_f64(),
            Subject::Requests => requests as f64,
            Subject::Good => cell.good as f64,
            Subject::Dropped => counted(dropped, requests + dropped),
            // Nothing was asked: nothing was right, either.
            _ if requests == 0 => return None,
            Subject::Errors => counted(cell.errors.total(), requests),
            Subject::Sheds => counted(cell.shed, requests),
            Subject::Success => share(cell.good + cell.shed, requests) * 100.0,
            Subject::Rate => rate,
            Subject::RatePerCore => rate / cores.max(1) as f64,
        })
    }
}

/// A duration for people.
pub fn milliseconds(seconds: f64) -> String {
    let millis = seconds * 1e3;
    if millis >= 10_000.0 {
        format!("{seconds:.1} s")
    } else if millis >= 100.0 {
        format!("{millis:.0} ms")
    } else if millis >= 1.0 {
        format!("{millis:.1} ms")
    } else {
        format!("{millis:.3} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{ErrorClass, Outcome, Sample};

    fn measured(text: &str, good: u64, failed: u64) -> Judged {
        let mut cell = Cell::default();
        let now = std::time::Instant::now();
        for number in 0..good + failed {
            cell.record(&Sample {
                phase: 0,
                endpoint: 0,
                intended: now,
                began: now,
                connect: None,
                first_byte: None,
                ended: now + Duration::from_millis(number + 1),
                outcome: if number < good {
                    Outcome::Good
                } else {
                    Outcome::Failed(ErrorClass::Server)
                },
                bytes: 0,
                events: Vec::new(),
            });
        }
        let objective: Objective = text.parse().unwrap();
        objective.judge(Measured {
            cell: &cell,
            dropped: 5,
            elapsed: Duration::from_secs(10),
            cores: 2,
        })
    }

    #[test]
    fn each_subject_is_judged_by_its_own_number() {
        for (text, holds) in [
            ("p50 <= 51ms", true),
            ("p50 < 49ms", false),
            ("max >= 100ms", true),
            ("errors = 10", true),
            ("errors <= 10%", true),
            ("errors < 10%", false),
            ("success >= 90%", true),
            ("good = 90", true),
            ("requests = 100", true),
            ("rate = 9/s", true),
            ("rate = 4.5/s per core", true),
            ("dropped = 5", true),
            ("sheds = 0", true),
            ("gap p99 < 1s", false),
        ] {
            let judged = measured(text, 90, 10);
            assert_eq!(judged.holds, holds, "{judged:?}");
        }
    }

    #[test]
    fn of_nothing_nothing_holds() {
        for text in ["errors = 0", "success >= 0%", "p95 < 1s", "rate >= 0"] {
            assert!(!measured(text, 0, 0).holds, "{text}");
        }
    }
}
