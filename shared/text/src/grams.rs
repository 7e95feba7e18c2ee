//! Character n-grams of words: what still matches when a word is inflected, joined or misspelt.
//!
//! A gram lies within one word, white space stands for the word's edges (` ri`, `river`, `er `).

use std::collections::HashMap;

use crate::stem::normalize_into;
use crate::word::words;
use crate::{Language, is_stopword, normalize};

/// Shortest gram, in characters.
pub const MIN_GRAM: usize = 3;
/// Longest gram, in characters.
pub const MAX_GRAM: usize = 5;

/// Saturation of a gram's frequency.
const K1: f32 = 0.9;
/// How much long texts are held back.
const B: f32 = 0.4;
/// Bits of the filter that most grams of a text are turned away by.
const FILTER_BITS: u64 = 1 << 14;

/// Calls `visit` with the hash of every gram of a normalised word and whether the gram begins it.
///
/// The hashes are the same on every machine and in every release.
pub fn for_each_gram(word: &str, mut visit: impl FnMut(u64, bool)) {
    let mut padded = Vec::with_capacity(word.len() + 2);
    pad(word, &mut padded);
    for start in 0..padded.len() {
        let mut hash = SEED;
        for (length, c) in padded[start..].iter().take(MAX_GRAM).enumerate() {
            hash = step(hash, *c);
            if length + 1 >= MIN_GRAM {
                visit(hash, start == 0);
            }
        }
    }
}

fn pad(word: &str, padded: &mut Vec<char>) {
    padded.clear();
    padded.push(' ');
    padded.extend(word.chars());
    padded.push(' ');
}

const SEED: u64 = 0x51_7c_c1_b7_27_22_0a_95;

const fn step(hash: u64, c: char) -> u64 {
    let mixed = (hash ^ c as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// The grams of a question, ready to be held against candidate texts.
#[derive(Clone, Debug)]
pub struct GramQuery {
    grams: HashMap<u64, usize>,
    /// A bit for every gram of the shortest length: a longer one never matches without it.
    filter: Vec<u64>,
}

impl GramQuery {
    /// Takes the grams of all words that are not function words of the language.
    pub fn new(text: &str, language: Language) -> Self {
        let mut query = Self {
            grams: HashMap::new(),
            filter: vec![0; (FILTER_BITS / 64) as usize],
        };
        for word in words(text).filter(|word| !is_stopword(word.text, language)) {
            let word = normalize(word.text);
            for_each_gram(&word, |hash, _| {
                let next = query.grams.len();
                query.grams.entry(hash).or_insert(next);
            });
            let mut padded = Vec::new();
            pad(&word, &mut padded);
            for gram in padded.windows(MIN_GRAM) {
                let hash = gram.iter().fold(SEED, |hash, c| step(hash, *c));
                let bit = hash % FILTER_BITS;
                query.filter[(bit / 64) as usize] |= 1 << (bit % 64);
            }
        }
        query
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.grams.is_empty()
    }

    /// Scores candidate texts against the question, in their order: BM25 over grams, with the
    /// document frequencies of the candidates themselves.
    ///
    /// The score of a candidate depends on the whole list: compare only within one call.
    pub fn score<'a>(&self, candidates: impl IntoIterator<Item = &'a str>) -> Vec<f32> {
        let counted: Vec<Counts> = candidates
            .into_iter()
            .map(|text| self.count(text))
            .collect();
        let mut frequency = vec![0_u32; self.grams.len()];
        for counts in &counted {
            for (gram, _) in &counts.grams {
                frequency[*gram] += 1;
            }
        }
        let total = counted.len() as f32;
        let average = counted.iter().map(|c| c.length).sum::<usize>() as f32 / total.max(1.0);
        let idf: Vec<f32> = frequency
            .iter()
            .map(|found| (1.0 + (total - *found as f32 + 0.5) / (*found as f32 + 0.5)).ln())
            .collect();
        counted
            .iter()
            .map(|counts| {
                let norm = K1 * (1.0 - B + B * counts.length as f32 / average.max(1.0));
                counts
                    .grams
                    .iter()
                    .map(|(gram, count)| idf[*gram] * count * (K1 + 1.0) / (count + norm))
                    .sum()
            })
            .collect()
    }

    fn count(&self, text: &str) -> Counts {
        let mut tally = vec![0.0_f32; self.grams.len()];
        let mut length = 0;
        let mut padded = Vec::new();
        let mut normal = String::new();
        for word in words(text) {
            if word.text.is_ascii() {
                padded.clear();
                padded.push(' ');
                padded.extend(
                    word.text
                        .bytes()
                        .map(|byte| char::from(byte.to_ascii_lowercase())),
                );
                padded.push(' ');
            } else {
                normalize_into(word.text, &mut normal);
                pad(&normal, &mut padded);
            }
            length += padded.len();
            for start in 0..padded.len() {
                let mut hash = SEED;
                for (at, c) in padded[start..].iter().take(MAX_GRAM).enumerate() {
                    hash = step(hash, *c);
                    if at + 1 < MIN_GRAM {
                        continue;
                    }
                    if at + 1 == MIN_GRAM && !self.may_hold(hash) {
                        break;
                    }
                    if let Some(gram) = self.grams.get(&hash) {
                        tally[*gram] += 1.0;
                    }
                }
            }
        }
        let grams = tally
            .into_iter()
            .enumerate()
            .filter(|(_, count)| *count > 0.0)
            .collect();
        Counts { grams, length }
    }

    fn may_hold(&self, hash: u64) -> bool {
        let bit = hash % FILTER_BITS;
        self.filter[(bit / 64) as usize] & (1 << (bit % 64)) != 0
    }
}

/// How often each gram of the question stands in a text, and the text's length.
struct Counts {
    grams: Vec<(usize, f32)>,
    length: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_still_finds_its_text() {
        let query = GramQuery::new("fotosynthesis in plants", Language::En);
        let scores = query.score([
            "Photosynthesis feeds plants.",
            "Rivers flow.",
            "A photo album.",
        ]);
        assert!(
            scores[0] > scores[2] && scores[2] >= scores[1],
            "{scores:?}"
        );
        assert!(scores[1] <= 0.0);
    }

    #[test]
    fn function_words_alone_ask_for_nothing() {
        let query = GramQuery::new("what is the", Language::En);
        assert!(query.is_empty());
        assert_eq!(query.score(["the"]), [0.0]);
    }

    #[test]
    fn grams_mark_the_edges_of_a_word() {
        let mut count = 0;
        let mut beginning = 0;
        for_each_gram("abc", |_, begins| {
            count += 1;
            beginning += usize::from(begins);
        });
        // " ab" " abc" " abc " / "abc" "abc " / "bc "
        assert_eq!((count, beginning), (6, 3));
    }
}
