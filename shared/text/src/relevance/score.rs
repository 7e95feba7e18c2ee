use touchstone_types::ByteSpan;

use crate::{Language, sentences};

use super::{Expectation, Located, Occurrence, Question};

/// How the parts of a sentence's score are weighed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scoring {
    /// Neighbouring question terms that stand close together in the same order.
    pub pairs: f32,
    /// How much a sentence longer than usual is held back.
    pub length: f32,
    /// Words in a sentence of usual length.
    pub usual_words: f32,
    /// Bonus for a sentence that holds the kind of thing asked for.
    pub expectation: f32,
}

impl Default for Scoring {
    fn default() -> Self {
        Self {
            pairs: 0.25,
            length: 0.15,
            usual_words: 22.0,
            expectation: 0.15,
        }
    }
}

/// A sentence and how well it answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SentenceScore {
    /// Its place in the text.
    pub span: ByteSpan,
    /// 0 for nothing in common; about 1 when every term is there.
    pub score: f32,
}

/// What a span of a text has in common with a question. All in 0 to 1, except `words`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overlap {
    /// Share of the question's weight that is there.
    pub coverage: f32,
    /// Share of its neighbouring terms that are neighbours here, in the same order.
    pub pairs: f32,
    /// Words in the span.
    pub words: usize,
}

impl Overlap {
    /// Measures a span of a text whose terms are located.
    pub fn of(question: &Question, located: &Located, span: ByteSpan) -> Self {
        let found = located.within(span);
        Self {
            coverage: question.coverage(found),
            pairs: question.pairs(found),
            words: located.words_within(span),
        }
    }

    fn score(&self, scoring: &Scoring) -> f32 {
        let length = (self.words as f32 / scoring.usual_words).max(0.3);
        (self.coverage + scoring.pairs * self.pairs)
            / (1.0 - scoring.length + scoring.length * length)
    }
}

impl Question {
    /// Share of the question's weight among some occurrences, 0 to 1.
    pub fn coverage(&self, found: &[Occurrence]) -> f32 {
        let total = self.total_weight();
        if found.is_empty() || total <= 0.0 {
            return 0.0;
        }
        let mut best = vec![0.0_f32; self.terms.len()];
        for occurrence in found {
            best[occurrence.term] = best[occurrence.term].max(occurrence.strength);
        }
        self.terms
            .iter()
            .zip(&best)
            .map(|(term, strength)| term.weight * strength)
            .sum::<f32>()
            / total
    }

    /// Share of the weight of neighbouring question terms that stand at most two words apart in the
    /// same order, 0 to 1.
    pub fn pairs(&self, found: &[Occurrence]) -> f32 {
        let weight = |at: usize| self.terms[at - 1].weight.min(self.terms[at].weight);
        let total: f32 = (1..self.terms.len()).map(weight).sum();
        if total <= 0.0 || found.len() < 2 {
            return 0.0;
        }
        let mut seen = vec![false; self.terms.len()];
        for (at, left) in found.iter().enumerate() {
            for right in found[at + 1..]
                .iter()
                .take_while(|o| o.position - left.position <= 2)
            {
                if right.term == left.term + 1 {
                    seen[right.term] = true;
                }
            }
        }
        (1..self.terms.len())
            .filter(|at| seen[*at])
            .map(weight)
            .sum::<f32>()
            / total
    }
}

/// Scores one sentence.
pub fn score_sentence(question: &Question, sentence: &str, language: Language) -> f32 {
    let located = question.locate(sentence, language);
    score_located(
        question,
        sentence,
        ByteSpan::new(0, sentence.len()),
        &located,
    )
}

/// Scores every sentence of a text, in the order of the text.
pub fn score_sentences(question: &Question, text: &str, language: Language) -> Vec<SentenceScore> {
    let located = question.locate(text, language);
    sentences(text)
        .into_iter()
        .map(|span| SentenceScore {
            span,
            score: score_located(question, text, span, &located),
        })
        .collect()
}

/// The sentence that answers best; the first of equals; `None` when nothing is in common.
pub fn best_sentence(
    question: &Question,
    text: &str,
    language: Language,
) -> Option<(ByteSpan, f32)> {
    let located = question.locate(text, language);
    best_located(question, text, &located)
}

/// As [`best_sentence`], for a text whose terms are located.
pub fn best_located(question: &Question, text: &str, located: &Located) -> Option<(ByteSpan, f32)> {
    let mut best: Option<(ByteSpan, f32)> = None;
    for span in sentences(text) {
        let overlap = Overlap::of(question, located, span);
        let score = overlap.score(&question.scoring);
        let least = best.map_or(0.0, |(_, score)| score);
        if score + question.scoring.expectation * overlap.coverage <= least {
            continue;
        }
        let score = score + bonus(question, text, span, located, &overlap);
        if score > least {
            best = Some((span, score));
        }
    }
    best
}

/// Scores a span of a text whose terms are located.
pub fn score_located(question: &Question, text: &str, span: ByteSpan, located: &Located) -> f32 {
    let overlap = Overlap::of(question, located, span);
    if overlap.coverage <= 0.0 {
        return 0.0;
    }
    overlap.score(&question.scoring) + bonus(question, text, span, located, &overlap)
}

fn bonus(
    question: &Question,
    text: &str,
    span: ByteSpan,
    located: &Located,
    overlap: &Overlap,
) -> f32 {
    let expected = question.expectation;
    let weight = question.scoring.expectation * overlap.coverage.min(1.0);
    if weight <= 0.0 || expected == Expectation::Anything {
        return 0.0;
    }
    let sentence = span.of(text).unwrap_or_default();
    if expected.is_met(sentence, |start| located.is_asked(span.start + start)) {
        weight
    } else {
        0.0
    }
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
        let all = score_sentences(&question, text, Language::En);
        assert!(all.iter().all(|other| other.score <= score));
    }

    #[test]
    fn nothing_in_common_scores_nothing() {
        let question = Question::new("volcano eruption");
        assert!(score_sentence(&question, "Bread is baked daily.", Language::En) <= 0.0);
        assert_eq!(best_sentence(&question, "", Language::En), None);
    }

    #[test]
    fn order_and_nearness_count() {
        let question = Question::new("red river delta");
        let near = score_sentence(
            &question,
            "The red river delta is wide there.",
            Language::En,
        );
        let far = score_sentence(
            &question,
            "The delta there is wide, river red.",
            Language::En,
        );
        assert!(near > far);
    }
}
