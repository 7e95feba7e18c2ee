//! What a shard writes down: no lock, no clock of its own, nothing shared.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Cell, CellPart, Durations, Sample, Sparse};

/// The record of one shard since it was last taken.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Rc<RefCell<Window>>);

#[derive(Debug, Default)]
struct Window {
    cells: BTreeMap<(u16, u16), Cell>,
    lag: Durations,
    dropped: BTreeMap<u16, u64>,
    due: u64,
    /// Users or requests under way.
    active: u64,
    connections: u64,
    /// The first failures, for whoever looks for the reason.
    examples: Vec<Example>,
    /// The slowest answers, the slowest first.
    slow: Vec<Slow>,
}

/// A failure as it looked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Kind of request.
    pub endpoint: u16,
    /// What was wrong.
    pub what: String,
}

/// An answer that took long, by which name the target knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slow {
    /// Kind of request.
    pub endpoint: u16,
    /// From its actual begin to its end, in microseconds.
    pub micros: u64,
    /// What the target calls it: its trace, or its request id.
    pub name: String,
}

/// Examples that are kept of one second of one shard.
const EXAMPLES: usize = 5;
/// Slow answers that are.
const SLOWEST: usize = 3;

/// Keeps the slowest, the slowest first.
pub(super) fn keep_slowest<T>(kept: &mut Vec<T>, new: T, most: usize, micros: impl Fn(&T) -> u64) {
    let place = kept.partition_point(|own| micros(own) >= micros(&new));
    if place < most {
        kept.insert(place, new);
        kept.truncate(most);
    }
}

impl Recorder {
    /// A request that ended.
    pub fn record(&self, sample: &Sample) {
        let mut window = self.0.borrow_mut();
        let place = (sample.phase, sample.endpoint);
        window.cells.entry(place).or_default().record(sample);
    }

    /// What a failure looked like.
    pub fn example(&self, endpoint: u16, what: impl FnOnce() -> String) {
        let mut window = self.0.borrow_mut();
        if window.examples.len() < EXAMPLES {
            let what = what();
            window.examples.push(Example { endpoint, what });
        }
    }

    /// An answer that took so long; `name` tells what the target calls it, if it does.
    pub fn slow(&self, endpoint: u16, took: Duration, name: impl FnOnce() -> Option<String>) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut window = self.0.borrow_mut();
        let is_slow = |last: &Slow| micros > last.micros;
        if window.slow.len() < SLOWEST || window.slow.last().is_some_and(is_slow) {
            let Some(name) = name() else { return };
            let new = Slow {
                endpoint,
                micros,
                name,
            };
            keep_slowest(&mut window.slow, new, SLOWEST, |own| own.micros);
        }
    }

    /// How late the generator itself was with something that was due.
    pub fn lag(&self, lag: Duration) {
        self.0.borrow_mut().lag.record(lag);
    }

    /// An arrival that was due, whether or not it could be sent.
    pub fn due(&self) {
        self.0.borrow_mut().due += 1;
    }

    /// An arrival that was not sent, because too much was under way.
    pub fn dropped(&self, phase: u16) {
        *self.0.borrow_mut().dropped.entry(phase).or_default() += 1;
    }

    /// A connection was made.
    pub fn connected(&self) {
        self.0.borrow_mut().connections += 1;
    }

    /// One more is under way, until the guard goes.
    pub fn active(&self) -> Active {
        self.0.borrow_mut().active += 1;
        Active(self.clone())
    }

    /// What was recorded since the last call.
    pub fn take(&self) -> Part {
        let mut window = self.0.borrow_mut();
        let cells = window
            .cells
            .iter_mut()
            .filter_map(|(place, cell)| Some((*place, cell.take()?)))
            .collect();
        let lag = window.lag.sparse();
        window.lag.clear();
        Part {
            cells,
            lag,
            dropped: std::mem::take(&mut window.dropped),
            due: std::mem::take(&mut window.due),
            active: window.active,
            connections: std::mem::take(&mut window.connections),
            examples: std::mem::take(&mut window.examples),
            slow: std::mem::take(&mut window.slow),
        }
    }
}

/// Something that is under way.
#[derive(Debug)]
pub struct Active(Recorder);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.0.borrow_mut().active -= 1;
    }
}

/// A second of a shard.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    /// By phase and kind of request.
    pub cells: Vec<((u16, u16), CellPart)>,
    /// How late the generator was.
    pub lag: Sparse,
    /// Arrivals that were not sent, by phase.
    pub dropped: BTreeMap<u16, u64>,
    /// Arrivals that were due.
    pub due: u64,
    /// Users or requests under way at the end of it.
    pub active: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Some failures.
    pub examples: Vec<Example>,
    /// The slowest answers.
    #[serde(default)]
    pub slow: Vec<Slow>,
}

impl Part {
    /// Requests that ended.
    pub fn requests(&self) -> u64 {
        self.cells.iter().map(|(_, cell)| cell.requests()).sum()
    }
}
