//! Feature rerank: what fusion cannot see, because it looks at terms one by one.

use std::collections::HashMap;

use touchstone_text::relevance::{Located, Occurrence, Question, best_located};
use touchstone_text::{Language, words};

/// Terms further apart than this many words do not count as near.
const NEAR_WORDS: usize = 12;
/// After this many days a passage counts half as recent.
const RECENCY_HALF_LIFE_DAYS: f32 = 90.0;

/// What each feature adds to the fused score, whose own weight is 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureWeights {
    /// Share of the question's weight in the passage.
    pub coverage: f32,
    /// Nearness of the question's terms to each other.
    pub proximity: f32,
    /// Neighbouring question terms that are neighbours in the passage, in order.
    pub pairs: f32,
    /// The best sentence of the passage.
    pub sentence: f32,
    /// Share of the question's weight in title and heading.
    pub title: f32,
    /// Age of the document.
    pub recency: f32,
}

impl Default for FeatureWeights {
    fn default() -> Self {
        Self {
            coverage: 0.2,
            proximity: 0.1,
            pairs: 0.05,
            sentence: 1.0,
            title: 0.05,
            recency: 0.0,
        }
    }
}

impl FeatureWeights {
    /// All weights times `share`.
    #[must_use]
    pub fn scaled(self, share: f32) -> Self {
        Self {
            coverage: self.coverage * share,
            proximity: self.proximity * share,
            pairs: self.pairs * share,
            sentence: self.sentence * share,
            title: self.title * share,
            recency: self.recency * share,
        }
    }

    fn total(&self) -> f32 {
        self.coverage + self.proximity + self.pairs + self.sentence + self.title + self.recency
    }
}

/// A candidate, as the reranker sees it.
#[derive(Clone, Copy, Debug)]
pub struct Passage<'a> {
    /// Its text.
    pub text: &'a str,
    /// Title of its document.
    pub title: &'a str,
    /// Heading above it.
    pub heading: &'a str,
    /// Its language.
    pub language: Language,
    /// Age of its document in days.
    pub age_days: f32,
}

/// Features of a candidate, each 0 to about 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Features {
    /// See [`FeatureWeights::coverage`].
    pub coverage: f32,
    /// See [`FeatureWeights::proximity`].
    pub proximity: f32,
    /// See [`FeatureWeights::pairs`].
    pub pairs: f32,
    /// See [`FeatureWeights::sentence`].
    pub sentence: f32,
    /// See [`FeatureWeights::title`].
    pub title: f32,
    /// See [`FeatureWeights::recency`].
    pub recency: f32,
}

/// Measures candidates against a question. Terms are weighed by how rare they are among the
/// candidates, so the result for one depends on all of them.
pub fn measure(question: &mut Question, passages: &[Passage<'_>]) -> Vec<Features> {
    let located: Vec<Located> = passages
        .iter()
        .map(|passage| question.locate(passage.text, passage.language))
        .collect();
    weigh(question, &located);
    let mut titles: HashMap<(&str, &str), f32> = HashMap::new();
    passages
        .iter()
        .zip(&located)
        .map(|(passage, located)| {
            let title = *titles
                .entry((passage.title, passage.heading))
                .or_insert_with(|| title_coverage(question, passage));
            features(question, passage, located, title)
        })
        .collect()
}

/// Weighs the question's terms by their rarity among the candidates; function words keep a small
/// part of theirs.
fn weigh(question: &mut Question, located: &[Located]) {
    let mut frequency = vec![0.0_f32; question.terms().len()];
    let mut seen = vec![usize::MAX; question.terms().len()];
    for (at, located) in located.iter().enumerate() {
        for found in located
            .occurrences
            .iter()
            .filter(|found| found.strength >= 1.0)
        {
            if seen[found.term] != at {
                seen[found.term] = at;
                frequency[found.term] += 1.0;
            }
        }
    }
    let total = located.len() as f32;
    let mut at = 0;
    question.weigh(|term| {
        let found = frequency[at];
        at += 1;
        let rarity = BASE_WEIGHT + (1.0 + (total - found + 0.5) / (found + 0.5)).ln();
        if term.stopword {
            STOPWORD_SHARE * rarity
        } else {
            rarity
        }
    });
}

/// Weight that a term has however common it is.
const BASE_WEIGHT: f32 = 0.5;
/// Share of its weight that a function word keeps.
const STOPWORD_SHARE: f32 = 0.1;

fn features(question: &Question, passage: &Passage<'_>, located: &Located, title: f32) -> Features {
    let found = &located.occurrences;
    Features {
        coverage: question.coverage(found),
        proximity: proximity(question, found),
        pairs: question.pairs(found),
        sentence: best_located(question, passage.text, located)
            .map_or(0.0, |(_, score)| (score / 1.4).min(1.0)),
        title,
        recency: 0.5_f32.powf(passage.age_days.max(0.0) / RECENCY_HALF_LIFE_DAYS),
    }
}

fn title_coverage(question: &Question, passage: &Passage<'_>) -> f32 {
    let cover = |text: &str| {
        if words(text).next().is_none() {
            return 0.0;
        }
        question.coverage(&question.locate(text, passage.language).occurrences)
    };
    cover(passage.title).max(cover(passage.heading))
}

/// For every pair of neighbouring question terms, how near they come to each other, weighed by
/// their weight; 1 when all stand side by side.
fn proximity(question: &Question, found: &[Occurrence]) -> f32 {
    let terms = question.terms();
    let content: Vec<usize> = (0..terms.len()).filter(|at| !terms[*at].stopword).collect();
    let mut slot = vec![usize::MAX; terms.len()];
    for (place, term) in content.iter().enumerate() {
        slot[*term] = place;
    }
    let weight = |place: usize| {
        terms[content[place]]
            .weight
            .min(terms[content[place + 1]].weight)
    };
    let total: f32 = (0..content.len().saturating_sub(1)).map(weight).sum();
    if total <= 0.0 {
        return 0.0;
    }
    let mut nearest = vec![usize::MAX; content.len()];
    for (at, left) in found.iter().enumerate() {
        for right in found[at + 1..]
            .iter()
            .take_while(|o| o.position - left.position <= NEAR_WORDS)
        {
            let (a, b) = (slot[left.term], slot[right.term]);
            if a != usize::MAX && b != usize::MAX && a.abs_diff(b) == 1 {
                let place = a.min(b);
                nearest[place] = nearest[place].min(right.position - left.position);
            }
        }
    }
    (0..content.len() - 1)
        .filter(|place| nearest[*place] != usize::MAX)
        .map(|place| weight(place) / (nearest[place].max(1) as f32).sqrt())
        .sum::<f32>()
        / total
}

/// The score after rerank, 0 to 1: never raises a candidate without features above one with the
/// same fused score.
pub fn score(fused: f32, features: &Features, weights: &FeatureWeights) -> f32 {
    let sum = fused
        + weights.coverage * features.coverage
        + weights.proximity * features.proximity
        + weights.pairs * features.pairs
        + weights.sentence * features.sentence
        + weights.title * features.title
        + weights.recency * features.recency;
    sum / (1.0 + weights.total())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(text: &str) -> Passage<'_> {
        Passage {
            text,
            title: "",
            heading: "",
            language: Language::En,
            age_days: 0.0,
        }
    }

    #[test]
    fn terms_that_stand_together_beat_terms_that_are_spread() {
        let mut question = Question::new("red river delta");
        let features = measure(
            &mut question,
            &[
                passage("The red river delta is wide. Many people live there."),
                passage("The delta is wide. Many people live there. It is red. A river is near."),
                passage("Bread is baked daily."),
            ],
        );
        assert!(features[0].pairs > features[1].pairs);
        assert!(features[0].sentence > features[1].sentence);
        assert!(features[1].coverage > features[2].coverage);
        let scores: Vec<f32> = features
            .iter()
            .map(|f| score(0.5, f, &FeatureWeights::default()))
            .collect();
        assert!(scores[0] > scores[1] && scores[1] > scores[2], "{scores:?}");
    }

    #[test]
    fn a_title_that_names_the_subject_counts() {
        let mut question = Question::new("Nile length");
        let mut titled = passage("It is 6,650 km long.");
        titled.title = "The Nile";
        let features = measure(&mut question, &[titled, passage("It is 6,650 km long.")]);
        assert!(features[0].title > features[1].title);
    }

    #[test]
    fn recent_documents_score_higher_when_asked_to() {
        let weights = FeatureWeights {
            recency: 0.2,
            ..FeatureWeights::default()
        };
        let mut question = Question::new("news");
        let mut old = passage("The news.");
        old.age_days = 365.0;
        let features = measure(&mut question, &[old, passage("The news.")]);
        assert!(score(0.5, &features[0], &weights) < score(0.5, &features[1], &weights));
    }

    #[test]
    fn no_features_never_help() {
        let weights = FeatureWeights::default();
        let bare = score(0.4, &Features::default(), &weights);
        let mut question = Question::new("river");
        let features = measure(&mut question, &[passage("A river.")]);
        assert!(score(0.4, &features[0], &weights) >= bare);
        assert!(score(0.3, &Features::default(), &weights) < bare);
    }
}
