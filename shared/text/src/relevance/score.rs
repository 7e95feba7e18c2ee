use touchstone_types::ByteSpan;

use crate::{Language, sentences, stem};

use super::{Expectation, Located, Occurrence, Question};

/// Share of the score that goes to question terms standing side by side as in the question.
const PAIR_WEIGHT: f32 = 0.25;
/// Words in a sentence of usual length.
const USUAL_WORDS: f32 = 22.0;
/// How much a sentence longer than usual is held back.
const LENGTH_WEIGHT: f32 = 0.15;
/// Bonus for a sentence that holds the kind of thing asked for.
const EXPECTATION_WEIGHT: f32 = 0.15;

/// A sentence and how well it answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SentenceScore {
    /// Its place in the text.
    pub span: ByteSpan,
    /// 0 for nothing in common; about 1 when every term is there.
    pub score: f32,
}

/// Scores one sentence.
pub fn score_sentence(question: &Question, sentence: &str, language: Language) -> f32 {
    let located = question.locate(sentence, language);
    score_located(
        question,
        sentence,
        &located.occurrences,
        located.words,
        language,
    )
}

/// Scores every sentence of a text, in the order of the text.
pub fn score_sentences(question: &Question, text: &str, language: Language) -> Vec<SentenceScore> {
    let located = question.locate(text, language);
    score_all(question, text, &located, language)
}

/// The sentence that answers best; the first of equals; `None` when nothing is in common.
pub fn best_sentence(
    question: &Question,
    text: &str,
    language: Language,
) -> Option<(ByteSpan, f32)> {
    let scores = score_sentences(question, text, language);
    let best = scores
        .into_iter()
        .reduce(|best, next| if next.score > best.score { next } else { best })?;
    (best.score > 0.0).then_some((best.span, best.score))
}

fn score_all(
    question: &Question,
    text: &str,
    located: &Located,
    language: Language,
) -> Vec<SentenceScore> {
    sentences(text)
        .into_iter()
        .map(|span| {
            let sentence = &text[span.start..span.end];
            let count = crate::words(sentence).count();
            let found = located.within(span);
            SentenceScore {
                span,
                score: score_located(question, sentence, found, count, language),
            }
        })
        .collect()
}

/// Scores a sentence whose terms are already located.
pub fn score_located(
    question: &Question,
    sentence: &str,
    found: &[Occurrence],
    words: usize,
    language: Language,
) -> f32 {
    let total = question.total_weight();
    if found.is_empty() || total <= 0.0 {
        return 0.0;
    }
    let mut best = vec![0.0_f32; question.terms.len()];
    for occurrence in found {
        best[occurrence.term] = best[occurrence.term].max(occurrence.strength);
    }
    let coverage: f32 = question
        .terms
        .iter()
        .zip(&best)
        .map(|(term, strength)| term.weight * strength)
        .sum::<f32>()
        / total;
    let pairs = pair_share(question, found);
    let length = (words as f32 / USUAL_WORDS).max(0.3);
    let damping = 1.0 / (1.0 - LENGTH_WEIGHT + LENGTH_WEIGHT * length);
    let expected = question.expectation;
    let asked = |word: &str| {
        let stemmed = stem(word, language);
        question.terms.iter().any(|term| term.stem == stemmed)
    };
    let bonus = if expected != Expectation::Anything && expected.is_met(sentence, asked) {
        EXPECTATION_WEIGHT
    } else {
        0.0
    };
    (coverage + PAIR_WEIGHT * pairs) * damping + bonus * coverage.min(1.0)
}

/// Share of the weight of neighbouring question terms that stand close together in the sentence,
/// in the same order.
fn pair_share(question: &Question, found: &[Occurrence]) -> f32 {
    let mut total = 0.0;
    let mut matched = 0.0;
    for at in 1..question.terms.len() {
        let (left, right) = (&question.terms[at - 1], &question.terms[at]);
        let weight = left.weight.min(right.weight);
        total += weight;
        let near = found.windows(2).any(|pair| {
            pair[0].term == at - 1 && pair[1].term == at && pair[1].position - pair[0].position <= 2
        });
        if near {
            matched += weight;
        }
    }
    if total > 0.0 { matched / total } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_with_the_terms_and_the_number_wins() {
        let question = Question::new("How many points did the Panthers defense surrender?");
        let text =
            "The Panthers won. The Panthers defense gave up just 308 points. They celebrated.";
        let (span, score) = best_sentence(&question, text, Language::En).unwrap();
        assert_eq!(
            span.of(text),
            Some("The Panthers defense gave up just 308 points.")
        );
        assert!(score > 0.0);
    }

    #[test]
    fn nothing_in_common_scores_nothing() {
        let question = Question::new("volcano eruption");
        assert!(score_sentence(&question, "Bread is baked daily.", Language::En) <= 0.0);
        assert_eq!(best_sentence(&question, "", Language::En), None);
    }
}
