//! Lexical signals: BM25 term weights and character n-gram weights as sparse vectors.
//!
//! Document weights carry term frequency and length, query weights carry term frequency; the inverse
//! document frequency is multiplied in by the vector store, which alone knows the collection. So
//! the encoder has no state and the same text always gives the same vectors.
//!
//! Pure computation, well under a millisecond per chunk; call it from a blocking thread for batches.

mod chars;
mod hash;
mod terms;

use touchstone_text::{Language, detect, detect_query};
use touchstone_types::SparseVector;

/// Parameters of the lexical signals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LexicalParams {
    /// BM25 saturation of term frequency.
    pub k1: f32,
    /// BM25 length normalisation, 0 (none) to 1 (full).
    pub b: f32,
    /// Words in a passage of usual length.
    pub average_tokens: f32,
    /// Character n-grams indexed per passage; 0 (the default) leaves the vector out.
    ///
    /// Measured: ranking by 64 indexed grams is worse than ranking the BM25 candidates by all grams
    /// of their texts (`touchstone_text::grams`, which retrieval does); what indexed grams add is
    /// recall of misspelt words, at about 1.7 times the size of the index.
    pub char_grams: usize,
}

impl Default for LexicalParams {
    fn default() -> Self {
        Self {
            k1: 0.9,
            b: 0.4,
            average_tokens: 120.0,
            char_grams: 0,
        }
    }
}

/// The sparse vectors of one text.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparse {
    /// Term weights.
    pub bm25: SparseVector,
    /// Character n-gram weights; empty unless [`LexicalParams::char_grams`] is set.
    pub chars: SparseVector,
    /// Language that was assumed.
    pub language: Language,
    /// Words in the text.
    pub tokens: usize,
}

/// Turns texts into sparse vectors.
#[derive(Clone, Copy, Debug, Default)]
pub struct LexicalEncoder {
    params: LexicalParams,
}

impl LexicalEncoder {
    /// An encoder with the given parameters.
    pub fn new(params: LexicalParams) -> Self {
        Self { params }
    }

    /// Encodes a text to be found; the language is detected when absent.
    pub fn encode_passage(&self, text: &str, language: Option<Language>) -> Sparse {
        let language = language.unwrap_or_else(|| detect(text));
        let (bm25, tokens) = terms::passage(text, language, &self.params);
        let chars = chars::passage(text, language, self.params.char_grams);
        Sparse {
            bm25,
            chars,
            language,
            tokens,
        }
    }

    /// Encodes a question; when the language is absent, its terms are stemmed by every language
    /// that it may be in.
    pub fn encode_query(&self, text: &str, language: Option<Language>) -> Sparse {
        let languages = language.map_or_else(|| detect_query(text), |language| vec![language]);
        let first = languages.first().copied().unwrap_or_default();
        let (bm25, tokens) = terms::query(text, &languages);
        let chars = if self.params.char_grams == 0 {
            SparseVector::default()
        } else {
            chars::query(text, first)
        };
        Sparse {
            bm25,
            chars,
            language: first,
            tokens,
        }
    }
}

#[cfg(test)]
mod tests;
