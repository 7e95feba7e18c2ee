use touchstone_text::{Language, for_each_term, stem, words};
use touchstone_types::SparseVector;

use super::LexicalParams;
use super::hash::index;

/// BM25 document weights without the IDF, and the number of words.
///
/// # Source
/// Robertson, Zaragoza, *The Probabilistic Relevance Framework: BM25 and Beyond*, 2009.
pub(super) fn passage(
    text: &str,
    language: Language,
    params: &LexicalParams,
) -> (SparseVector, usize) {
    let mut indices = Vec::new();
    for_each_term(text, language, |_, term| indices.push(index(term.bytes())));
    let tokens = indices.len();
    let length = tokens as f32 / params.average_tokens.max(1.0);
    let norm = params.k1 * (1.0 - params.b + params.b * length);
    let vector = counted(indices, |count| count * (params.k1 + 1.0) / (count + norm));
    (vector, tokens)
}

/// Weight 1 for every distinct term, in every language that the query may be in.
pub(super) fn query(text: &str, languages: &[Language]) -> (SparseVector, usize) {
    let mut indices = Vec::new();
    let mut tokens = 0;
    for word in words(text) {
        tokens += 1;
        for language in languages {
            indices.push(index(stem(word.text, *language).bytes()));
        }
    }
    (counted(indices, |_| 1.0), tokens)
}

fn counted(mut indices: Vec<u32>, weight: impl Fn(f32) -> f32) -> SparseVector {
    indices.sort_unstable();
    let mut vector = SparseVector::default();
    for run in indices.chunk_by(|a, b| a == b) {
        vector.indices.push(run[0]);
        vector.values.push(weight(run.len() as f32));
    }
    vector
}
