use std::fmt;
use std::sync::Arc;

use super::{Change, Core, State, Word};
use crate::outcome::Outcome;
use crate::time::Instant;

/// The right to make one call.
pub struct Permit {
    core: Arc<Core>,
    /// State at the admission; reports of an older epoch are no news.
    word: Word,
    is_probe: bool,
}

impl Permit {
    pub(super) fn new(core: Arc<Core>, word: Word, is_probe: bool) -> Self {
        Self {
            core,
            word,
            is_probe,
        }
    }

    /// Whether the call decides on an open breaker. Its first frame is proof enough: a long answer
    /// need not be waited for.
    pub const fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// Takes what the call said; tells when that changes the breaker. A call may report more than
    /// once, e.g. a good start and then an answer that breaks off.
    pub fn report(&mut self, now: Instant, outcome: Outcome) -> Option<Change> {
        if self.is_probe {
            self.is_probe = false;
            let change = self.core.probe_report(self.word, now, outcome);
            if change == Some(Change::Closed) {
                self.word = self.core.load();
            }
            return change;
        }
        let current = self.core.load();
        if current.state() != State::Closed || current.epoch() != self.word.epoch() {
            return None;
        }
        self.core.closed_report(current, now, outcome)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.is_probe {
            self.core.give_back(self.word);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("is_probe", &self.is_probe)
            .finish_non_exhaustive()
    }
}
