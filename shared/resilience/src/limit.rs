//! Adaptive limit of concurrency by the gradient of the time to first frame.
//!
//! The limit moves with `tolerance * usual / present` (Netflix's Gradient2): when answers take
//! longer than usual, there are more calls than the upstream works on, and the limit falls; else
//! it grows by a few. Three things differ, each for a failure that others have shown:
//!
//! * **Errors and cancelled calls never are samples.** A fast error would become the usual time and
//!   choke everything after it. Refusals for overload lower the limit by a tenth instead.
//! * **The usual time rises only when waiting cannot explain it**: from samples that were taken
//!   well below the limit, or after the limit fell by a third and answers did not get faster. Under
//!   lasting overload it stays, where a plain average would follow the queue up.
//! * **There are no forced probes** that squeeze the limit to measure: they make 503s of their own.
//!
//! While fewer than half of the allowed calls are under way the limit does not move.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{Instant, micros};

/// Smallest factor of a step.
const STEEPEST: f64 = 0.5;

/// How the limit moves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Limit at the start.
    pub initial: u32,
    /// Smallest limit.
    pub least: u32,
    /// Largest limit; the bulkhead around it.
    pub most: u32,
    /// How much longer than usual answers may take.
    pub tolerance: f64,
    /// Share of a step that is taken at once.
    pub smoothing: f64,
    /// Samples of a step.
    pub samples: u32,
    /// Longest step.
    #[serde(with = "humantime_serde")]
    pub step_most: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            initial: 32,
            least: 4,
            most: 256,
            tolerance: 1.5,
            smoothing: 0.2,
            samples: 16,
            step_most: Duration::from_secs(1),
        }
    }
}

/// What a finished call tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Its first frame came after so long.
    FirstFrame(Duration),
    /// It was refused for overload, or timed out.
    Refused,
    /// It failed otherwise, was cancelled or was retried: it tells nothing.
    Nothing,
}

/// The limit of one upstream.
#[derive(Clone, Debug)]
pub struct Limit {
    config: Config,
    allowed: f64,
    /// Usual time to first frame, in microseconds.
    usual: Option<f64>,
    step: Step,
    fall: Option<Fall>,
    /// Until when refusals were already answered by a lower limit.
    lowered_until: Instant,
}

/// Samples that are not used yet.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    since: Option<Instant>,
    count: u32,
    sum: f64,
    most_in_flight: u32,
}

/// A fall of the limit.
#[derive(Clone, Copy, Debug)]
struct Fall {
    /// Where it began.
    allowed: f64,
    /// The longest mean time since: a fall begins while the queue still grows.
    slowest: f64,
}

/// A limit as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// Calls that may be under way.
    pub limit: u32,
    /// Usual time to first frame, in milliseconds.
    pub usual_ms: Option<f64>,
}

impl Limit {
    /// The initial limit.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            allowed: f64::from(config.initial.clamp(config.least, config.most)),
            usual: None,
            step: Step::default(),
            fall: None,
            lowered_until: Instant::ZERO,
        }
    }

    /// Calls that may be under way.
    pub fn limit(&self) -> u32 {
        self.allowed as u32
    }

    /// The limit as it is now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            limit: self.limit(),
            usual_ms: self.usual.map(|micros| micros / 1000.0),
        }
    }

    /// Takes what a call told that began with `in_flight` calls under way, itself included.
    pub fn sample(&mut self, now: Instant, in_flight: u32, sample: Sample) {
        match sample {
            Sample::Nothing => {}
            Sample::Refused => self.refused(now),
            Sample::FirstFrame(took) => {
                let step = &mut self.step;
                let since = *step.since.get_or_insert(now);
                step.count += 1;
                step.sum += micros(took).max(1) as f64;
                step.most_in_flight = step.most_in_flight.max(in_flight);
                // At least as long as an answer takes: a change of the limit shows after that.
                let mean = step.sum / f64::from(step.count);
                let lasted = micros(now.since(since)) as f64;
                let most = micros(self.config.step_most) as f64;
                let enough = step.count >= self.config.samples && lasted >= mean;
                if enough || lasted >= most {
                    let in_flight = step.most_in_flight;
                    self.step = Step::default();
                    self.take_step(mean, in_flight);
                }
            }
        }
    }

    fn refused(&mut self, now: Instant) {
        if now < self.lowered_until {
            return;
        }
        // Once per answer's time: what comes together tells the same.
        let usual = self.usual.unwrap_or(100_000.0);
        self.lowered_until = now + Duration::from_micros(usual as u64);
        self.set(self.allowed * 0.9);
    }

    fn take_step(&mut self, present: f64, in_flight: u32) {
        let waiting_excluded = f64::from(in_flight) * 2.0 <= self.allowed;
        let usual = match self.usual {
            None => present,
            // Faster than usual is believed soon.
            Some(usual) if present < usual => usual + (present - usual) * 0.3,
            Some(usual) if waiting_excluded => usual + (present - usual) * 0.1,
            Some(usual) => usual,
        };
        self.usual = Some(usual);
        if waiting_excluded {
            self.fall = None;
            return;
        }
        let gradient = (self.config.tolerance * usual / present).clamp(STEEPEST, 1.0);
        self.judge_fall(gradient, present);
        // The allowance keeps a small queue, so that the limit can find more capacity.
        // Not while answers take far too long: it would hold the limit where no fall is judged.
        let allowance = if gradient > STEEPEST {
            self.allowed.sqrt().max(4.0)
        } else {
            0.0
        };
        let target = self.allowed * gradient + allowance;
        self.set(self.allowed + (target - self.allowed) * self.config.smoothing);
    }

    /// Shrinking the limit makes answers faster if waiting made them slow. If it did not, the
    /// upstream itself has become slower, and that is what is usual now.
    fn judge_fall(&mut self, gradient: f64, present: f64) {
        if gradient >= 1.0 {
            self.fall = None;
            return;
        }
        let fall = self.fall.get_or_insert(Fall {
            allowed: self.allowed,
            slowest: present,
        });
        fall.slowest = fall.slowest.max(present);
        let fall = *fall;
        if self.allowed > fall.allowed * 0.67 && self.allowed > f64::from(self.config.least) {
            return;
        }
        if present > fall.slowest * 0.85 {
            self.usual = Some(present);
        }
        self.fall = None;
    }

    fn set(&mut self, limit: f64) {
        let (least, most) = (f64::from(self.config.least), f64::from(self.config.most));
        self.allowed = limit.clamp(least, most);
    }
}

#[cfg(test)]
mod tests;
