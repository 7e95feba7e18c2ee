//! Seeded draws.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Draws that depend on a seed and on how many were drawn before; shared without a lock.
///
/// This is SplitMix64 (Steele, Lea, Flood: *Fast splittable pseudorandom number generators*,
/// 2014): spread, not secrecy.
#[derive(Debug)]
pub struct Draws(AtomicU64);

impl Draws {
    /// Draws by `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// 64 bits.
    pub fn bits(&self) -> u64 {
        mix(self
            .0
            .fetch_add(GOLDEN, Ordering::Relaxed)
            .wrapping_add(GOLDEN))
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `0..n`; 0 when `n` is 0.
    pub fn below(&self, n: usize) -> usize {
        let wide = u128::from(self.bits()) * n as u128;
        (wide >> 64) as usize
    }

    /// Uniform in `[0, most)`.
    pub fn up_to(&self, most: Duration) -> Duration {
        most.mul_f64(self.unit())
    }

    /// Uniform within a share of `centre` on both sides, e.g. 0.5 for ±50 %.
    pub fn around(&self, centre: Duration, share: f64) -> Duration {
        centre.mul_f64(1.0 - share + 2.0 * share * self.unit())
    }
}

const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same() {
        let (one, other) = (Draws::new(7), Draws::new(7));
        let drawn: Vec<u64> = (0..100).map(|_| one.bits()).collect();
        assert_eq!(drawn, (0..100).map(|_| other.bits()).collect::<Vec<_>>());
        // The first two outputs of the published generator for seed 1234567.
        let reference = Draws::new(1_234_567);
        assert_eq!(
            [reference.bits(), reference.bits()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
    }

    #[test]
    fn draws_stay_in_their_range_and_fill_it() {
        let draws = Draws::new(1);
        let mut seen = [0; 5];
        for _ in 0..10_000 {
            seen[draws.below(5)] += 1;
            let jittered = draws.around(Duration::from_secs(2), 0.5);
            assert!((Duration::from_secs(1)..Duration::from_secs(3)).contains(&jittered));
            assert!(draws.up_to(Duration::from_secs(1)) < Duration::from_secs(1));
        }
        assert!(seen.iter().all(|n| (1_800..2_200).contains(n)), "{seen:?}");
        assert_eq!(draws.below(0), 0);
    }
}
