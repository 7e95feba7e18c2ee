//! A small deterministic source of randomness: the same seed gives the same draws on every
//! machine, whatever versions the dependencies have.

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Draws that depend on nothing but the parts.
    pub fn of(parts: &[&[u8]], seed: u64) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed;
        for part in parts {
            for byte in *part {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
            // Keeps ("ab", "c") apart from ("a", "bc").
            hash = (hash ^ 0xff).wrapping_mul(0x0100_0000_01b3);
        }
        let mut random = Self(hash);
        random.bits();
        random
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True at the given rate.
    pub fn chance(&mut self, rate: f64) -> bool {
        self.unit() < rate
    }

    /// Uniform in `0..bound`; 0 for an empty range.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.unit() * bound as f64) as usize
    }

    /// One of a list.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.below(list.len()))
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Log-normal with the given median and the given deviation of its logarithm.
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_repeat_and_depend_on_every_part() {
        let draw = |parts: &[&[u8]], seed| Random::of(parts, seed).bits();
        assert_eq!(draw(&[b"ab", b"c"], 1), draw(&[b"ab", b"c"], 1));
        assert_ne!(draw(&[b"ab", b"c"], 1), draw(&[b"a", b"bc"], 1));
        assert_ne!(draw(&[b"ab", b"c"], 1), draw(&[b"ab", b"c"], 2));
    }

    #[test]
    fn log_normal_has_its_median() {
        let mut random = Random::of(&[b"median"], 7);
        let mut draws: Vec<f64> = (0..4001).map(|_| random.log_normal(40.0, 0.5)).collect();
        draws.sort_by(f64::total_cmp);
        assert!((draws[2000] - 40.0).abs() < 2.0, "{}", draws[2000]);
        assert!(draws[3960] > 100.0);
    }
}
