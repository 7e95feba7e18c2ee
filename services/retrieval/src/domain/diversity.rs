//! Near-duplicates and maximal marginal relevance.

use touchstone_text::words;

/// Hashes kept of a text.
const SKETCH_SIZE: usize = 48;
/// Words in a shingle.
const SHINGLE_WORDS: usize = 3;

/// What is kept of a text to tell how much another one repeats it: the smallest hashes of its
/// word shingles.
///
/// # Source
/// Broder, *On the resemblance and containment of documents*, 1997.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch(Vec<u64>);

impl Sketch {
    /// Sketches a text.
    pub fn of(text: &str) -> Self {
        let hashes: Vec<u64> = words(text).map(|word| hash_word(word.text)).collect();
        let mut shingles: Vec<u64> = if hashes.len() < SHINGLE_WORDS {
            hashes
        } else {
            let fold = |shingle: &[u64]| shingle.iter().fold(0, |hash, word| mix(hash, *word));
            hashes.windows(SHINGLE_WORDS).map(fold).collect()
        };
        shingles.sort_unstable();
        shingles.dedup();
        shingles.truncate(SKETCH_SIZE);
        Self(shingles)
    }

    /// Estimated share of common shingles, 0 to 1; exact for short texts.
    pub fn similarity(&self, other: &Self) -> f32 {
        self.overlap(other, SKETCH_SIZE)
    }

    /// Whether the similarity reaches `threshold`; most pairs are told apart after a few hashes.
    pub fn is_near(&self, other: &Self, threshold: f32) -> bool {
        let misses = ((1.0 - threshold).max(0.0) * SKETCH_SIZE as f32) as usize;
        self.overlap(other, misses) >= threshold
    }

    /// The similarity, or 0 as soon as more than `misses` hashes are not common.
    fn overlap(&self, other: &Self, misses: usize) -> f32 {
        let (mut mine, mut theirs) = (self.0.as_slice(), other.0.as_slice());
        let (mut union, mut common) = (0, 0);
        // The smallest hashes of the union are the smallest of both.
        while union < SKETCH_SIZE {
            let next = match (mine.first(), theirs.first()) {
                (None, None) => break,
                (Some(one), None) | (None, Some(one)) => *one,
                (Some(one), Some(other)) => *one.min(other),
            };
            let in_mine = mine.first() == Some(&next);
            let in_theirs = theirs.first() == Some(&next);
            mine = &mine[usize::from(in_mine)..];
            theirs = &theirs[usize::from(in_theirs)..];
            union += 1;
            common += usize::from(in_mine && in_theirs);
            if union - common > misses {
                return 0.0;
            }
        }
        if union == 0 {
            0.0
        } else {
            common as f32 / union as f32
        }
    }
}

/// Hash of a word in lower case.
fn hash_word(word: &str) -> u64 {
    if word.is_ascii() {
        return word.bytes().fold(1, |hash, byte| {
            mix(hash, u64::from(byte.to_ascii_lowercase()))
        });
    }
    word.chars()
        .flat_map(char::to_lowercase)
        .fold(1, |hash, c| mix(hash, u64::from(c)))
}

const fn mix(hash: u64, value: u64) -> u64 {
    let mixed = (hash.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

/// For every candidate, best first, the better one that it nearly repeats, if any.
pub fn near_duplicates(sketches: &[Sketch], threshold: f32) -> Vec<Option<usize>> {
    let mut found: Vec<Option<usize>> = Vec::with_capacity(sketches.len());
    for (at, sketch) in sketches.iter().enumerate() {
        let original = (0..at).find(|before| {
            found[*before].is_none() && sketches[*before].is_near(sketch, threshold)
        });
        found.push(original);
    }
    found
}

/// Orders candidates by `lambda` parts relevance and `1 - lambda` parts novelty; gives candidates
/// with their new scores, which never rise along the order.
///
/// Greedy, so the first `k` do not depend on how many are asked for.
///
/// # Source
/// Carbonell, Goldstein, *The Use of MMR*, 1998.
pub fn mmr(scores: &[f32], sketches: &[Sketch], lambda: f32) -> Vec<(usize, f32)> {
    let mut nearest = vec![0.0_f32; scores.len()];
    let mut left: Vec<usize> = (0..scores.len()).collect();
    let mut order = Vec::with_capacity(scores.len());
    let value =
        |at: usize, nearest: &[f32]| lambda * scores[at] + (1.0 - lambda) * (1.0 - nearest[at]);
    while !left.is_empty() {
        let mut best = 0;
        for place in 1..left.len() {
            if value(left[place], &nearest) > value(left[best], &nearest) {
                best = place;
            }
        }
        let chosen = left.remove(best);
        order.push((chosen, value(chosen, &nearest)));
        for at in &left {
            nearest[*at] = nearest[*at].max(sketches[*at].similarity(&sketches[chosen]));
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NILE: &str = "The Nile flows north through eleven countries of Africa to the sea.";
    const BREAD: &str = "Bread is baked from flour, water and salt in a hot oven every day.";

    #[test]
    fn a_repeated_text_is_found_once() {
        let copy = NILE.to_uppercase();
        let sketches = [Sketch::of(NILE), Sketch::of(BREAD), Sketch::of(&copy)];
        assert_eq!(near_duplicates(&sketches, 0.9), [None, None, Some(0)]);
    }

    #[test]
    fn novelty_moves_a_near_copy_down() {
        let near = format!("{NILE} Always.");
        let sketches = [Sketch::of(NILE), Sketch::of(&near), Sketch::of(BREAD)];
        let order = |lambda| -> Vec<usize> {
            mmr(&[1.0, 0.9, 0.8], &sketches, lambda)
                .into_iter()
                .map(|(at, _)| at)
                .collect()
        };
        assert_eq!(order(1.0), [0, 1, 2]);
        assert_eq!(order(0.5), [0, 2, 1]);
    }

    proptest! {
        #[test]
        fn giving_up_early_changes_no_verdict(
            one in "[a-c ]{0,60}", other in "[a-c ]{0,60}", threshold in 0.05_f32..=1.0
        ) {
            let (one, other) = (Sketch::of(&one), Sketch::of(&other));
            let near = one.similarity(&other) >= threshold;
            prop_assert_eq!(one.is_near(&other, threshold), near);
        }

        #[test]
        fn mmr_orders_every_candidate_once_by_falling_score(
            texts in prop::collection::vec("[a-d ]{0,30}", 0..15), lambda in 0.0_f32..=1.0
        ) {
            let sketches: Vec<Sketch> = texts.iter().map(|text| Sketch::of(text)).collect();
            let scores: Vec<f32> = (0..texts.len()).map(|at| 1.0 / (at as f32 + 1.0)).collect();
            let order = mmr(&scores, &sketches, lambda);
            prop_assert!(order.windows(2).all(|pair| pair[0].1 >= pair[1].1 - 1e-6));
            let mut seen: Vec<usize> = order.iter().map(|(at, _)| *at).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..texts.len()).collect::<Vec<_>>());
        }
    }
}
