//! Everything that was measured, by phase, by kind of request and by second.

use std::collections::BTreeMap;

use super::recorder::keep_slowest;
use super::{Cell, Durations, Errors, Example, Measure, Part, Slow, Sparse};

/// Examples of failures that a run keeps.
const EXAMPLES: usize = 20;
/// Slow answers that it keeps.
const SLOWEST: usize = 10;

/// One second of the run.
#[derive(Clone, Debug, Default)]
pub struct Second {
    /// From the begin of the run.
    pub at: u64,
    /// Phase that its last request belonged to.
    pub phase: u16,
    /// Requests that ended as they should.
    pub good: u64,
    /// Refused in good form.
    pub shed: u64,
    /// Errors.
    pub errors: Errors,
    /// Arrivals that were not sent.
    pub dropped: u64,
    /// Users or requests under way.
    pub active: u64,
    /// Durations from the wanted begin.
    pub total: Sparse,
    /// 99th percentile of the generator's lateness, in microseconds.
    pub lag_p99: u64,
}

impl Second {
    /// Requests that ended in it.
    pub fn requests(&self) -> u64 {
        self.good + self.shed + self.errors.total()
    }
}

/// All that was measured.
#[derive(Clone, Debug, Default)]
pub struct Series {
    cells: BTreeMap<(u16, u16), Cell>,
    seconds: BTreeMap<u64, Second>,
    lag: Durations,
    dropped: BTreeMap<u16, u64>,
    due: u64,
    connections: u64,
    examples: Vec<Example>,
    slowest: Vec<(u64, Slow)>,
}

impl Series {
    /// Takes up what a shard recorded up to the end of this second.
    pub fn absorb(&mut self, at: u64, part: &Part) {
        let second = self.seconds.entry(at).or_insert_with(|| Second {
            at,
            ..Second::default()
        });
        let mut all = Cell::default();
        for ((phase, endpoint), cell) in &part.cells {
            self.cells
                .entry((*phase, *endpoint))
                .or_default()
                .absorb(cell);
            all.absorb(cell);
            second.phase = second.phase.max(*phase);
        }
        second.good += all.good;
        second.shed += all.shed;
        second.errors.merge(&all.errors);
        if let Some(total) = all.durations(Measure::Total) {
            let mut sum = second.total.dense();
            sum.merge(total);
            second.total = sum.sparse();
        }
        second.active += part.active;
        let lag = part.lag.dense();
        second.lag_p99 = second.lag_p99.max(lag.quantile(0.99).as_micros() as u64);
        self.lag.merge(&lag);
        for (&phase, &count) in &part.dropped {
            *self.dropped.entry(phase).or_default() += count;
            second.dropped += count;
        }
        self.due += part.due;
        self.connections += part.connections;
        for slow in &part.slow {
            let new = (at, slow.clone());
            keep_slowest(&mut self.slowest, new, SLOWEST, |(_, own)| own.micros);
        }
        let room = EXAMPLES.saturating_sub(self.examples.len());
        self.examples
            .extend(part.examples.iter().take(room).cloned());
    }

    /// What matches, added up; `None` matches all.
    pub fn sum(&self, phase: Option<u16>, endpoint: Option<u16>) -> Cell {
        let mut sum = Cell::default();
        for ((own_phase, own_endpoint), cell) in &self.cells {
            let matches = phase.is_none_or(|phase| phase == *own_phase)
                && endpoint.is_none_or(|endpoint| endpoint == *own_endpoint);
            if matches {
                sum.merge(cell);
            }
        }
        sum
    }

    /// By phase and kind of request.
    pub const fn cells(&self) -> &BTreeMap<(u16, u16), Cell> {
        &self.cells
    }

    /// The seconds in which anything was told, in order.
    pub fn seconds(&self) -> impl Iterator<Item = &Second> {
        self.seconds.values()
    }

    /// One second.
    pub fn second(&self, at: u64) -> Option<&Second> {
        self.seconds.get(&at)
    }

    /// How late the generator was.
    pub const fn lag(&self) -> &Durations {
        &self.lag
    }

    /// Arrivals that were not sent.
    pub fn dropped(&self, phase: Option<u16>) -> u64 {
        let matches = |own: &u16| phase.is_none_or(|phase| phase == *own);
        let each = self.dropped.iter().filter(|(own, _)| matches(own));
        each.map(|(_, count)| count).sum()
    }

    /// Arrivals that were due.
    pub const fn due(&self) -> u64 {
        self.due
    }

    /// Connections that were made.
    pub const fn connections(&self) -> u64 {
        self.connections
    }

    /// The slowest answers that have names, and in which seconds they ended.
    pub fn slowest(&self) -> &[(u64, Slow)] {
        &self.slowest
    }

    /// Some failures.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }
}
