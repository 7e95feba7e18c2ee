//! Counts of the last ten seconds without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::Instant;

/// Seconds that are remembered, the present one included.
pub(crate) const SECONDS: u64 = 10;
const SECOND_MICROS: u64 = 1_000_000;
const FIELD_BITS: u32 = 16;
const FIELD_MOST: u64 = (1 << FIELD_BITS) - 1;

/// Three counts over the last ten seconds. A second is one word: its number (16 bits) and three
/// counts (16 bits each). A count that is full halves all three of its second, so that their
/// ratios stay.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    seconds: [AtomicU64; SECONDS as usize],
}

impl Tally {
    /// Adds to the count at `field` (0 to 2).
    pub fn add(&self, now: Instant, field: u32) {
        let second = now.as_micros() / SECOND_MICROS;
        let slot = &self.seconds[(second % SECONDS) as usize];
        let updated = slot.try_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            let word = if is_of(word, second) {
                word
            } else {
                second << (3 * FIELD_BITS)
            };
            let word = if count(word, field) == FIELD_MOST {
                halved(word)
            } else {
                word
            };
            Some(word + (1 << (field * FIELD_BITS)))
        });
        debug_assert!(updated.is_ok(), "the closure always updates");
    }

    /// The three counts.
    pub fn totals(&self, now: Instant) -> [u64; 3] {
        let second = now.as_micros() / SECOND_MICROS;
        let mut totals = [0; 3];
        for age in 0..SECONDS.min(second + 1) {
            let of = second - age;
            let word = self.seconds[(of % SECONDS) as usize].load(Ordering::Acquire);
            if is_of(word, of) {
                for (field, total) in (0..).zip(&mut totals) {
                    *total += count(word, field);
                }
            }
        }
        totals
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for slot in &self.seconds {
            slot.store(0, Ordering::Release);
        }
    }
}

const fn is_of(word: u64, second: u64) -> bool {
    word >> (3 * FIELD_BITS) == second & FIELD_MOST
}

const fn count(word: u64, field: u32) -> u64 {
    (word >> (field * FIELD_BITS)) & FIELD_MOST
}

fn halved(word: u64) -> u64 {
    let number = word & (FIELD_MOST << (3 * FIELD_BITS));
    (0..3).fold(number, |halves, field| {
        halves | ((count(word, field) / 2) << (field * FIELD_BITS))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * SECOND_MICROS)
    }

    #[test]
    fn counts_leave_after_ten_seconds() {
        let tally = Tally::default();
        tally.add(at(0), 0);
        tally.add(at(3), 1);
        tally.add(at(9), 2);
        assert_eq!(tally.totals(at(9)), [1, 1, 1]);
        assert_eq!(tally.totals(at(10)), [0, 1, 1]);
        assert_eq!(tally.totals(at(13)), [0, 0, 1]);
        tally.add(at(20), 0);
        assert_eq!(tally.totals(at(20)), [1, 0, 0]);
    }

    #[test]
    fn full_counts_keep_their_ratio() {
        let tally = Tally::default();
        for n in 0..200_000 {
            tally.add(at(1), u32::from(n % 4 == 0));
        }
        let [most, few, _] = tally.totals(at(1));
        let share = few as f64 / (most + few) as f64;
        assert!((0.24..0.26).contains(&share), "{most} {few}");
    }
}
