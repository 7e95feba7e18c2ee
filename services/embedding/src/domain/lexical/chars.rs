use std::collections::HashMap;

use touchstone_text::grams::for_each_gram;
use touchstone_text::{Language, is_stopword, normalize, words};
use touchstone_types::SparseVector;

/// The grams of a passage that find it again when a word is misspelt: beginnings of words first,
/// long words before short ones, at most `keep`.
pub(super) fn passage(text: &str, language: Language, keep: usize) -> SparseVector {
    if keep == 0 {
        return SparseVector::default();
    }
    let mut grams: Vec<Gram> = collect(text, language).into_values().collect();
    grams.sort_unstable_by_key(|gram| (std::cmp::Reverse(gram.rank), gram.index));
    grams.truncate(keep);
    let weight = |count: f32| count * 1.9 / (count + 0.9);
    SparseVector::from_pairs(
        grams
            .iter()
            .map(|gram| (gram.index, weight(gram.count)))
            .collect(),
    )
}

/// All grams of a question, weight 1 each.
pub(super) fn query(text: &str, language: Language) -> SparseVector {
    SparseVector::from_pairs(
        collect(text, language)
            .into_keys()
            .map(|index| (index, 1.0))
            .collect(),
    )
}

struct Gram {
    index: u32,
    count: f32,
    /// Whether it begins a word, then the length of the longest word that holds it.
    rank: (bool, usize),
}

fn collect(text: &str, language: Language) -> HashMap<u32, Gram> {
    let mut grams: HashMap<u32, Gram> = HashMap::new();
    for word in words(text).filter(|word| !is_stopword(word.text, language)) {
        let word = normalize(word.text);
        let length = word.chars().count();
        for_each_gram(&word, |hash, begins| {
            let index = (hash >> 32) as u32;
            let gram = grams.entry(index).or_insert(Gram {
                index,
                count: 0.0,
                rank: (false, 0),
            });
            gram.count += 1.0;
            gram.rank = gram.rank.max((begins, length));
        });
    }
    grams
}
