//! Feature hashing of words: vectors for load tests, not for meaning.
//!
//! # Source
//! Weinberger et al., *Feature Hashing for Large Scale Multitask Learning*, 2009.

use std::collections::HashMap;

use super::{ComputeError, Embedded, normalize};

/// Hashes words into signed buckets.
#[derive(Debug, Clone)]
pub struct Embedder {
    dimension: usize,
}

impl Embedder {
    /// Vectors of `dimension` numbers.
    pub const fn new(dimension: usize) -> Self {
        Self { dimension }
    }

    /// Length of the vectors.
    pub const fn dimension(&self) -> usize {
        self.dimension
    }

    /// Embeds texts; queries and passages alike.
    pub fn embed(&self, texts: &[String]) -> Result<Embedded, ComputeError> {
        let mut tokens = 0;
        let mut vectors = Vec::with_capacity(texts.len());
        for text in texts {
            let mut counts: HashMap<u64, f32> = HashMap::new();
            for word in text.split(|letter: char| !letter.is_alphanumeric()) {
                if !word.is_empty() {
                    tokens += 1;
                    *counts.entry(hash(&word.to_lowercase())).or_default() += 1.0;
                }
            }
            let mut vector = vec![0.0_f32; self.dimension];
            for (hash, count) in &counts {
                let bucket = (*hash % self.dimension as u64) as usize;
                let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
                vector[bucket] += sign * (1.0 + count.ln());
            }
            if normalize(&mut vector).is_err() {
                // A text without words, or one whose words cancel out.
                vector.fill(0.0);
                vector[0] = 1.0;
            }
            vectors.push(vector);
        }
        Ok(Embedded { vectors, tokens })
    }
}

/// FNV-1a with a final mix, stable over versions and machines.
fn hash(word: &str) -> u64 {
    let mut hash = word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(left: &[f32], right: &[f32]) -> f32 {
        left.iter()
            .zip(right)
            .map(|(left, right)| left * right)
            .sum()
    }

    #[test]
    fn same_words_in_any_order_and_case_give_the_same_vector() {
        let texts = ["The quick fox", "fox QUICK the!", "другой текст", ""].map(str::to_owned);
        let embedded = Embedder::new(64).embed(&texts).unwrap();
        let vectors = &embedded.vectors;
        assert!((dot(&vectors[0], &vectors[1]) - 1.0).abs() < 1e-6);
        assert!(dot(&vectors[0], &vectors[2]).abs() < 0.9);
        assert_eq!(embedded.tokens, 8);
        for vector in vectors {
            assert!((dot(vector, vector) - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn hashes_stay_what_they_are() {
        assert_eq!(hash("touchstone") % 1000, hash("touchstone") % 1000);
        assert_ne!(hash("a"), hash("b"));
    }
}
