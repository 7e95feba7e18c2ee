//! Likeness of texts by their character n-grams.

use std::collections::HashMap;

use super::terms::{Lexicon, Token};

/// Cosines of character 3- to 5-grams of the question and of each sentence.
#[derive(Clone, Debug)]
pub struct Grams {
    /// By sentence, 0 to 1.
    pub similarity: Vec<f64>,
}

impl Grams {
    /// Compares the question's words with those of each sentence.
    pub fn new<'a>(
        question: &[Token],
        sentences: impl Iterator<Item = &'a [Token]>,
        lexicon: &Lexicon,
    ) -> Self {
        let counted: Vec<Vec<(u64, f64)>> =
            sentences.map(|tokens| count(tokens, lexicon)).collect();
        let mut holding: HashMap<u64, usize> = HashMap::new();
        for gram in counted.iter().flatten() {
            *holding.entry(gram.0).or_default() += 1;
        }
        let total = counted.len() as f64;
        let weigh = |mut vector: Vec<(u64, f64)>| {
            for (gram, value) in &mut vector {
                let held = holding.get(gram).copied().unwrap_or(0) as f64;
                *value = (1.0 + value.ln()) * (1.0 + (total - held + 0.5) / (held + 0.5)).ln();
            }
            let norm = vector
                .iter()
                .map(|(_, value)| value * value)
                .sum::<f64>()
                .sqrt();
            if norm > 0.0 {
                vector.iter_mut().for_each(|(_, value)| *value /= norm);
            }
            vector
        };
        let question = weigh(count(question, lexicon));
        let similarity = counted
            .into_iter()
            .map(|vector| dot(&question, &weigh(vector)))
            .collect();
        Self { similarity }
    }
}

/// Counts of character n-grams, by gram.
fn count(tokens: &[Token], lexicon: &Lexicon) -> Vec<(u64, f64)> {
    let mut grams: Vec<u64> = Vec::new();
    let mut padded: Vec<char> = Vec::new();
    for token in tokens {
        padded.clear();
        padded.push(' ');
        padded.extend(lexicon.word(token.form).chars());
        padded.push(' ');
        for size in 3..=5 {
            grams.extend(padded.windows(size).map(fingerprint));
        }
    }
    grams.sort_unstable();
    let mut counts: Vec<(u64, f64)> = Vec::with_capacity(grams.len());
    for gram in grams {
        match counts.last_mut() {
            Some((last, count)) if *last == gram => *count += 1.0,
            _ => counts.push((gram, 1.0)),
        }
    }
    counts
}

/// FNV-1a over characters.
fn fingerprint(gram: &[char]) -> u64 {
    gram.iter().fold(0xcbf2_9ce4_8422_2325, |hash, c| {
        (hash ^ u64::from(u32::from(*c))).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Product of two lists that are sorted by gram.
fn dot(left: &[(u64, f64)], right: &[(u64, f64)]) -> f64 {
    let (mut sum, mut at) = (0.0, 0);
    for (gram, value) in left {
        while right.get(at).is_some_and(|(other, _)| other < gram) {
            at += 1;
        }
        if let Some((other, weight)) = right.get(at)
            && other == gram
        {
            sum += value * weight;
        }
    }
    sum
}
