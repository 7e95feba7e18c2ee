use crate::word::words;
use crate::{Language, detect_query, is_stopword, normalize, stem};

use super::{Expectation, Scoring};

/// Weight of a function word beside the weight 1 of others, before [`Question::weigh`].
const STOPWORD_WEIGHT: f32 = 0.1;

/// A distinct term of a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// Normalised stem in the question's most likely language.
    pub stem: String,
    /// The normalised word.
    pub word: String,
    /// Stems in the other languages that the question may be in.
    pub variants: Vec<String>,
    /// Importance; 1 for words, less for function words, until [`Question::weigh`] is called.
    pub weight: f32,
    /// Whether it is a function word.
    pub stopword: bool,
    /// Where it first stands among the words of the question.
    pub position: usize,
}

/// A question, analysed once and held against many texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub(super) terms: Vec<Term>,
    pub(super) expectation: Expectation,
    /// First two letters of all stems and words, sorted.
    pub(super) beginnings: Vec<(char, char)>,
    pub(super) scoring: Scoring,
}

impl Question {
    /// Analyses a question in the languages that it may be in; see [`detect_query`].
    pub fn new(text: &str) -> Self {
        Self::in_languages(text, &detect_query(text))
    }

    /// Analyses a question in the given languages, the likeliest first.
    pub fn in_languages(text: &str, languages: &[Language]) -> Self {
        let first = languages.first().copied().unwrap_or_default();
        let mut terms: Vec<Term> = Vec::new();
        for (position, found) in words(text).enumerate() {
            let stemmed = stem(found.text, first);
            if terms.iter().any(|term| term.stem == stemmed) {
                continue;
            }
            let mut variants: Vec<String> = Vec::new();
            for language in languages.iter().skip(1) {
                let variant = stem(found.text, *language);
                if variant != stemmed && !variants.contains(&variant) {
                    variants.push(variant);
                }
            }
            let stopword = is_stopword(found.text, first);
            terms.push(Term {
                stem: stemmed,
                word: normalize(found.text),
                variants,
                weight: if stopword { STOPWORD_WEIGHT } else { 1.0 },
                stopword,
                position,
            });
        }
        let mut beginnings: Vec<(char, char)> = terms
            .iter()
            .flat_map(|term| [&term.stem, &term.word].into_iter().chain(&term.variants))
            .filter_map(|stem| beginning(stem))
            .collect();
        beginnings.sort_unstable();
        beginnings.dedup();
        let (expectation, scoring) = (Expectation::of(text), Scoring::default());
        Self {
            terms,
            expectation,
            beginnings,
            scoring,
        }
    }

    /// The same question with other weights for the parts of a sentence's score.
    #[must_use]
    pub fn with_scoring(mut self, scoring: Scoring) -> Self {
        self.scoring = scoring;
        self
    }

    /// Its distinct terms, in order.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// What it asks for.
    pub fn expectation(&self) -> Expectation {
        self.expectation
    }

    /// Sets the weight of every term, for example to its inverse document frequency.
    pub fn weigh(&mut self, mut weight: impl FnMut(&Term) -> f32) {
        for at in 0..self.terms.len() {
            let value = weight(&self.terms[at]);
            self.terms[at].weight = if value.is_finite() {
                value.max(0.0)
            } else {
                0.0
            };
        }
    }

    /// Sum of all weights.
    pub fn total_weight(&self) -> f32 {
        self.terms.iter().map(|term| term.weight).sum()
    }
}

/// The first two letters of a word; a word of one letter is followed by nothing.
pub(super) fn beginning(word: &str) -> Option<(char, char)> {
    let mut chars = word.chars();
    Some((chars.next()?, chars.next().unwrap_or('\0')))
}
