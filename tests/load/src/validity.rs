//! Whether a measurement can be trusted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::{ThreadUsage, Usage};
use crate::measure::{ErrorClass, Measure, Series, share};

/// What is tolerated of the generator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Lateness (99th percentile) that is always fine.
    pub lag: Duration,
    /// Lateness as a share of the median that is told: beyond the fixed one, it may be this much.
    pub lag_share: f64,
    /// Share of a thread's time on a processor, from which on it is what limits the load.
    pub busy: f64,
    /// Share of a thread's time that it waited for a processor.
    pub waited: f64,
    /// Share of the machine that its host gave to others.
    pub steal: f64,
    /// Share of the arrivals that were not sent.
    pub dropped: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            lag: Duration::from_millis(2),
            lag_share: 0.1,
            busy: 0.95,
            waited: 0.5,
            steal: 0.05,
            dropped: 0.0,
        }
    }
}

/// VALID, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Reasons against it; VALID without any.
    pub reasons: Vec<String>,
}

impl Verdict {
    /// Whether there is none.
    pub const fn is_valid(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_valid() {
            f.write_str("VALID")
        } else {
            write!(f, "INVALID: {}", self.reasons.join("; "))
        }
    }
}

/// Judges the generator, not the target.
pub fn judge(series: &Series, usage: &Usage, rules: &Rules) -> Verdict {
    let mut reasons = Vec::new();
    let all = series.sum(None, None);
    // Lateness is an error of every duration that is told; what is small beside them does no harm.
    let told = all
        .durations(Measure::Total)
        .map(|total| total.quantile(0.5));
    let tolerated = rules
        .lag
        .max(told.unwrap_or_default().mul_f64(rules.lag_share));
    let lag = series.lag().quantile(0.99);
    if lag > tolerated {
        reasons.push(format!(
            "the generator was {:.1} ms late (99th percentile; {:.1} ms are tolerated)",
            lag.as_secs_f64() * 1e3,
            tolerated.as_secs_f64() * 1e3
        ));
    }
    let busy = worst(&usage.threads, |thread| thread.busy);
    if busy > rules.busy {
        reasons.push(format!(
            "a thread of the generator used {:.0} % of a core: it limits the load",
            busy * 100.0
        ));
    }
    let waited = worst(&usage.threads, |thread| thread.waited);
    if waited > rules.waited {
        reasons.push(format!(
            "a thread of the generator waited {:.0} % of the time for a processor",
            waited * 100.0
        ));
    }
    if usage.steal > rules.steal {
        reasons.push(format!(
            "the host gave {:.0} % of this machine's time to others",
            usage.steal * 100.0
        ));
    }
    let dropped = series.dropped(None);
    if share(dropped, series.due()) > rules.dropped {
        reasons.push(format!(
            "{dropped} of {} arrivals were not sent",
            series.due()
        ));
    }
    let own = all.errors.of(ErrorClass::Own);
    if own > 0 {
        reasons.push(format!(
            "{own} requests failed for want of sockets on this machine"
        ));
    }
    if all.requests() == 0 {
        reasons.push("no request ended".into());
    }
    Verdict { reasons }
}

fn worst(threads: &[ThreadUsage], share: impl Fn(&ThreadUsage) -> f64) -> f64 {
    threads.iter().map(share).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::measure::{Outcome, Recorder, Sample};

    fn series(fill: impl Fn(&Recorder)) -> Series {
        let recorder = Recorder::default();
        let now = Instant::now();
        let sample = Sample {
            phase: 0,
            endpoint: 0,
            intended: now,
            began: now,
            connect: None,
            first_byte: None,
            ended: now + Duration::from_millis(10),
            outcome: Outcome::Good,
            bytes: 0,
            events: Vec::new(),
        };
        recorder.record(&sample);
        recorder.due();
        fill(&recorder);
        let mut series = Series::default();
        series.absorb(0, &recorder.take());
        series
    }

    fn verdict(series: &Series, usage: &Usage) -> String {
        judge(series, usage, &Rules::default()).to_string()
    }

    #[test]
    fn a_generator_in_time_is_valid() {
        let series = series(|recorder| recorder.lag(Duration::from_micros(300)));
        assert_eq!(verdict(&series, &Usage::default()), "VALID");
    }

    #[test]
    fn each_weakness_of_the_generator_is_named() {
        let quiet = Usage::default();
        let late = series(|recorder| recorder.lag(Duration::from_millis(9)));
        assert!(verdict(&late, &quiet).contains("9.0 ms late"));
        let dropped = series(|recorder| recorder.dropped(0));
        assert!(verdict(&dropped, &quiet).contains("1 of 1 arrivals"));
        let own = series(|recorder| {
            let now = Instant::now();
            recorder.record(&Sample {
                phase: 0,
                endpoint: 0,
                intended: now,
                began: now,
                connect: None,
                first_byte: None,
                ended: now,
                outcome: Outcome::Failed(ErrorClass::Own),
                bytes: 0,
                events: Vec::new(),
            });
        });
        assert!(verdict(&own, &quiet).contains("want of sockets"));
        let fine = series(|_| {});
        let thread = |busy, waited| Usage {
            threads: vec![ThreadUsage { busy, waited }],
            ..Usage::default()
        };
        assert!(verdict(&fine, &thread(0.99, 0.0)).contains("99 % of a core"));
        assert!(verdict(&fine, &thread(0.3, 0.6)).contains("waited 60 %"));
        let stolen = Usage {
            steal: 0.2,
            ..Usage::default()
        };
        assert!(verdict(&fine, &stolen).contains("20 % of this machine"));
        assert!(verdict(&Series::default(), &quiet).contains("no request ended"));
    }

    #[test]
    fn lateness_is_seen_beside_what_is_told() {
        let slow = series(|recorder| {
            recorder.lag(Duration::from_millis(9));
            let now = Instant::now();
            for _ in 0..9 {
                recorder.record(&Sample {
                    phase: 0,
                    endpoint: 0,
                    intended: now,
                    began: now,
                    connect: None,
                    first_byte: None,
                    ended: now + Duration::from_secs(1),
                    outcome: Outcome::Good,
                    bytes: 0,
                    events: Vec::new(),
                });
            }
        });
        assert_eq!(verdict(&slow, &Usage::default()), "VALID");
    }
}
