use touchstone_types::ByteSpan;

use crate::stem::normalize_into;
use crate::word::words;
use crate::{Language, stem};

use super::Question;
use super::question::beginning;

/// Strength of a word that only shares a long beginning with a term.
const PREFIX_STRENGTH: f32 = 0.5;
/// A shared beginning of fewer letters proves nothing.
const PREFIX_LETTERS: usize = 4;

/// A term of the question, found in a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Occurrence {
    /// Which of the question's terms.
    pub term: usize,
    /// Which word of the text, from 0.
    pub position: usize,
    /// Where that word stands.
    pub span: ByteSpan,
    /// 1 for the same stem, less for a related word.
    pub strength: f32,
}

/// Where the terms of a question stand in a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Located {
    /// In the order of the text.
    pub occurrences: Vec<Occurrence>,
    /// First bytes of all words of the text.
    starts: Vec<usize>,
}

impl Located {
    /// Number of words in the text.
    pub fn words(&self) -> usize {
        self.starts.len()
    }

    /// Number of words inside a span of the same text.
    pub fn words_within(&self, span: ByteSpan) -> usize {
        let from = self.starts.partition_point(|start| *start < span.start);
        let to = self.starts.partition_point(|start| *start < span.end);
        to.saturating_sub(from)
    }

    /// Whether the word that starts at this byte is one of the question's terms.
    pub fn is_asked(&self, start: usize) -> bool {
        self.occurrences
            .binary_search_by_key(&start, |found| found.span.start)
            .is_ok()
    }

    /// The part inside a span of the same text; positions stay those of the whole text.
    pub fn within(&self, span: ByteSpan) -> &[Occurrence] {
        let from = self
            .occurrences
            .partition_point(|found| found.span.start < span.start);
        let to = self
            .occurrences
            .partition_point(|found| found.span.start < span.end);
        &self.occurrences[from..to.max(from)]
    }
}

impl Question {
    /// Finds the question's terms in a text of the given language.
    ///
    /// # Units
    /// Time grows with the text; a word is stemmed only when its first two letters are
    /// those of a term.
    pub fn locate(&self, text: &str, language: Language) -> Located {
        let mut located = Located::default();
        let mut normal = String::new();
        for (position, word) in words(text).enumerate() {
            located.starts.push(word.span.start);
            normalize_into(word.text, &mut normal);
            if !self.may_hold(&normal, language) {
                continue;
            }
            if let Some((term, strength)) = self.match_word(&normal, language) {
                located.occurrences.push(Occurrence {
                    term,
                    position,
                    span: word.span,
                    strength,
                });
            }
        }
        located
    }

    /// Stemmers leave the beginning of a word alone, but for Arabic.
    fn may_hold(&self, normal: &str, language: Language) -> bool {
        language == Language::Ar
            || beginning(normal).is_some_and(|(first, second)| {
                let plain = |c: char| c.is_ascii() || matches!(c, '\u{400}'..='\u{45f}');
                !plain(first)
                    || !plain(second)
                    || self.beginnings.binary_search(&(first, second)).is_ok()
            })
    }

    fn match_word(&self, normal: &str, language: Language) -> Option<(usize, f32)> {
        let stemmed = stem(normal, language);
        let same = |term: &super::Term| term.stem == stemmed || term.variants.contains(&stemmed);
        if let Some(term) = self.terms.iter().position(same) {
            return Some((term, 1.0));
        }
        if let Some(term) = self.terms.iter().position(|term| term.word == normal) {
            return Some((term, 1.0));
        }
        let length = stemmed.chars().count();
        self.terms
            .iter()
            .enumerate()
            .filter(|(_, term)| !term.stopword)
            .find_map(|(at, term)| {
                let shared = term
                    .stem
                    .chars()
                    .zip(stemmed.chars())
                    .take_while(|(a, b)| a == b)
                    .count();
                let longest = term.stem.chars().count().max(length);
                (shared >= PREFIX_LETTERS && shared * 10 >= longest * 7)
                    .then_some((at, PREFIX_STRENGTH))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_inflected_and_related_words() {
        let question = Question::new("Кто написал русские романы?");
        let text = "Русский роман написан здесь, романист известен.";
        let located = question.locate(text, Language::Ru);
        let found: Vec<&str> = located
            .occurrences
            .iter()
            .map(|o| o.span.of(text).unwrap())
            .collect();
        assert_eq!(found, ["Русский", "роман", "написан"]);
        assert_eq!(located.words(), 6);
    }

    #[test]
    fn cuts_out_a_part() {
        let question = Question::new("river delta");
        let text = "A river. A delta and a river.";
        let located = question.locate(text, Language::En);
        assert_eq!(located.occurrences.len(), 3);
        assert_eq!(located.within(ByteSpan::new(9, text.len())).len(), 2);
    }
}
