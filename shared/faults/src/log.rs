use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{Kind, Side};

/// What struck what, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strike {
    /// Its place in the log, from 1.
    pub seq: u64,
    /// The fault; 0 for one that the request asked for itself.
    pub fault: u64,
    /// What went wrong.
    pub kind: Kind,
    /// On which side.
    pub side: Side,
    /// The service.
    pub service: String,
    /// Which of the requests that the fault could have struck, from 0.
    pub number: u64,
    /// Milliseconds after the plane began.
    pub at_ms: u64,
    /// When, UTC.
    pub at: String,
    /// The request's id, or the event's.
    pub request_id: String,
    /// The request's method; empty for an event.
    pub method: String,
    /// Its path, or the event's topic.
    pub path: String,
}

/// The latest strikes.
#[derive(Debug)]
pub(crate) struct Log {
    strikes: VecDeque<Strike>,
    room: usize,
    next: u64,
}

/// A page of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Strikes in their order.
    pub strikes: Vec<Strike>,
    /// Strikes in all, also those that are forgotten.
    pub total: u64,
    /// Strikes after those that were asked for and before these that are forgotten.
    pub forgotten: u64,
    /// Ask for what comes after this next.
    pub next: u64,
}

impl Log {
    pub const fn new(room: usize) -> Self {
        Self {
            strikes: VecDeque::new(),
            room,
            next: 1,
        }
    }

    pub fn push(&mut self, make: impl FnOnce(u64) -> Strike) {
        if self.strikes.len() >= self.room {
            self.strikes.pop_front();
        }
        self.strikes.push_back(make(self.next));
        self.next += 1;
    }

    pub fn page(&self, after: u64, limit: usize) -> Page {
        let oldest = self.next - self.strikes.len() as u64;
        let first = after.saturating_add(1);
        let begin = first.max(oldest);
        let skipped = usize::try_from(begin - oldest).unwrap_or(usize::MAX);
        let strikes: Vec<_> = self
            .strikes
            .iter()
            .skip(skipped)
            .take(limit)
            .cloned()
            .collect();
        Page {
            next: strikes.last().map_or(after, |last| last.seq),
            strikes,
            total: self.next - 1,
            forgotten: begin - first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_and_tell_what_was_forgotten() {
        let mut log = Log::new(4);
        for number in 0..6 {
            log.push(|seq| Strike {
                seq,
                fault: 1,
                kind: Kind::Delay,
                side: Side::Server,
                service: "sample".into(),
                number,
                at_ms: 0,
                at: String::new(),
                request_id: String::new(),
                method: String::new(),
                path: String::new(),
            });
        }
        let seqs = |page: &Page| page.strikes.iter().map(|s| s.seq).collect::<Vec<_>>();
        let first = log.page(0, 3);
        assert_eq!(
            (seqs(&first), first.forgotten, first.total),
            (vec![3, 4, 5], 2, 6)
        );
        let second = log.page(first.next, 3);
        assert_eq!((seqs(&second), second.forgotten), (vec![6], 0));
        let last = log.page(second.next, 3);
        assert_eq!((seqs(&last), last.next), (vec![], 6));
        for beyond in [9, u64::MAX] {
            let page = log.page(beyond, 3);
            assert_eq!((seqs(&page), page.next), (vec![], beyond));
        }
    }
}
