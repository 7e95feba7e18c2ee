//! Which requests a fault strikes: decided by its seed and their number alone.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Requests that are drawn for together: of each block as many are struck as its share says, so that
/// the share holds closely, and which ones cannot be told without the seed.
const BLOCK: u64 = 64;

/// Whether request `number`, counted from 0, is struck by a fault of this seed and share.
pub fn is_struck(seed: u64, share: f64, number: u64) -> bool {
    mask(seed, share, number / BLOCK) >> (number % BLOCK) & 1 == 1
}

/// A number that is fixed by the seed and the request, for what else is drawn.
pub(crate) fn word(seed: u64, number: u64) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed_fa17);
    random.set_stream(number);
    random.next_u64()
}

/// Bits of the requests of a block that are struck.
fn mask(seed: u64, share: f64, block: u64) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(block);
    let until = |block: u64| (block as f64 * BLOCK as f64 * share + 0.5).floor() as u64;
    let wanted = until(block + 1) - until(block);
    // The first places of a shuffle.
    let mut places: [u8; BLOCK as usize] = std::array::from_fn(|at| at as u8);
    let mut mask = 0;
    for at in 0..wanted.min(BLOCK) {
        let left = BLOCK - at;
        let other = at + random.next_u64() % left;
        places.swap(at as usize, other as usize);
        mask |= 1 << places[at as usize];
    }
    mask
}

/// Draws for one request after the other.
#[derive(Debug)]
pub(crate) struct Draws {
    seed: u64,
    share: f64,
    next: u64,
    mask: u64,
}

impl Draws {
    pub const fn new(seed: u64, share: f64) -> Self {
        Self {
            seed,
            share,
            next: 0,
            mask: 0,
        }
    }

    /// The number of the next request, and whether it is struck.
    pub fn draw(&mut self) -> (u64, bool) {
        let number = self.next;
        if number.is_multiple_of(BLOCK) {
            self.mask = mask(self.seed, self.share, number / BLOCK);
        }
        self.next += 1;
        (number, self.mask >> (number % BLOCK) & 1 == 1)
    }

    /// Requests that were drawn for.
    pub const fn drawn(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn the_share_holds_within_two_points_from_a_few_hundred_requests_on(
            seed: u64,
            share in 0.01..=1.0f64,
            requests in 400u64..800,
        ) {
            let struck = (0..requests).filter(|n| is_struck(seed, share, *n)).count();
            let reached = struck as f64 / requests as f64;
            prop_assert!((reached - share).abs() <= 0.02, "{reached} of {share}");
        }

        #[test]
        fn one_after_the_other_is_the_same_as_by_number(seed: u64, share in 0.01..=1.0f64) {
            let mut draws = Draws::new(seed, share);
            for number in 0..300 {
                prop_assert_eq!(draws.draw(), (number, is_struck(seed, share, number)));
            }
            prop_assert_eq!(draws.drawn(), 300);
        }
    }

    #[test]
    fn another_seed_strikes_others() {
        let struck = |seed| {
            (0..640)
                .filter(|n| is_struck(seed, 0.25, *n))
                .collect::<Vec<_>>()
        };
        assert_eq!(struck(1), struck(1));
        assert_ne!(struck(1), struck(2));
        assert_eq!(struck(1).len(), 160);
        assert!((0..1000).all(|n| is_struck(9, 1.0, n)));
    }
}
