//! Which sentences of the context answer a question: thirteen features and a linear model.

use std::collections::{BTreeSet, HashSet};

use touchstone_text::{Language, detect, sentences};
use touchstone_types::ByteSpan;

use super::cues::{Expected, Offer};
use super::grams::Grams;
use super::markdown;
use super::passage::Passage;
use super::terms::{Lexicon, Token, tokens};

/// A sentence of the context with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// Index of its passage.
    pub passage: usize,
    /// Where it stands in the passage.
    pub span: ByteSpan,
    /// Log-odds up to a constant that is the same for every sentence of the ranking.
    pub score: f64,
    /// Share of the best of all sentences: a softmax over the ranking.
    pub share: f64,
    /// How much of the question the sentence and its passage hold, 0 to 1.
    pub confidence: f64,
}

/// Weight of stopwords beside that of other words.
const STOPWORD_WEIGHT: f64 = 0.3;
/// What a word with the same beginning counts beside the word itself.
const SOFT_WEIGHT: f64 = 0.8;
/// Shortest common beginning, in characters, that makes words alike.
const SOFT_PREFIX_CHARS: usize = 4;

/// Weights of [`features`], in their order.
///
/// Fitted as a listwise softmax on the questions to the even paragraphs of XQuAD-R, English and
/// Russian together; the odd paragraphs were kept back and score no lower.
const WEIGHTS: [f64; 13] = [
    1.67, 7.22, 0.50, 2.55, 1.53, 4.40, 3.80, 3.20, 1.07, 1.32, 1.37, 1.02, 3.09,
];

/// Ranks every sentence of the passages, best first; ties stay in the order of the context.
/// Headings only lend their words to their neighbours: they tell what a text is about, not what
/// it says.
pub fn rank(question: &str, passages: &[Passage]) -> Vec<Ranked> {
    let mut lexicon = Lexicon::default();
    let question_language = match detect(question) {
        Language::Unknown => passages
            .first()
            .map_or(Language::En, |passage| passage.language),
        known => known,
    };
    let asked = Asked::new(question, question_language, &mut lexicon);
    let candidates = Candidate::all(passages, question_language, &mut lexicon);
    if asked.tokens.is_empty() || candidates.is_empty() {
        return Vec::new();
    }
    let weighed = Weighed::new(&asked, &candidates, passages.len());
    let grams = Grams::new(
        &asked.tokens,
        candidates.iter().map(|c| c.tokens.as_slice()),
        &lexicon,
    );
    let places = places(passages);
    let mut ranked: Vec<Ranked> = candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| !candidate.is_heading)
        .map(|(at, candidate)| {
            let match_ = weighed.matches(candidate, &lexicon);
            let values = features(
                at,
                &candidates,
                &asked,
                &weighed,
                &match_,
                &grams,
                &places,
                &lexicon,
            );
            Ranked {
                passage: candidate.passage,
                span: candidate.span,
                score: values
                    .iter()
                    .zip(WEIGHTS)
                    .map(|(value, weight)| value * weight)
                    .sum(),
                share: 0.0,
                confidence: f64::midpoint(match_.soft, weighed.of_passage[candidate.passage]),
            }
        })
        .collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
    let best = ranked.first().map_or(0.0, |first| first.score);
    let sum: f64 = ranked
        .iter()
        .map(|sentence| (sentence.score - best).exp())
        .sum();
    for sentence in &mut ranked {
        sentence.share = (sentence.score - best).exp() / sum;
    }
    ranked
}

/// The question, analysed.
struct Asked {
    tokens: Vec<Token>,
    /// Its distinct stems, in order, and whether they are stopwords.
    stems: Vec<(u32, bool)>,
    stem_set: HashSet<u32>,
    /// Distinct forms with their stems, in order.
    forms: Vec<(u32, u32)>,
    expected: Expected,
}

impl Asked {
    fn new(question: &str, language: Language, lexicon: &mut Lexicon) -> Self {
        let tokens = tokens(question, language, lexicon);
        let mut stems: Vec<(u32, bool)> = Vec::new();
        let mut forms: Vec<(u32, u32)> = Vec::new();
        for token in &tokens {
            match stems.iter_mut().find(|(stem, _)| *stem == token.stem) {
                Some((_, is_stopword)) => *is_stopword &= token.is_stopword,
                None => stems.push((token.stem, token.is_stopword)),
            }
            if !forms.iter().any(|(form, _)| *form == token.form) {
                forms.push((token.form, token.stem));
            }
        }
        let words: Vec<&str> = tokens
            .iter()
            .map(|token| lexicon.word(token.form))
            .collect();
        let expected = Expected::of(&words);
        let stem_set = stems.iter().map(|(stem, _)| *stem).collect();
        Self {
            tokens,
            stems,
            stem_set,
            forms,
            expected,
        }
    }
}

/// A sentence of the context, analysed.
struct Candidate {
    passage: usize,
    span: ByteSpan,
    is_heading: bool,
    tokens: Vec<Token>,
    stems: BTreeSet<u32>,
    forms: HashSet<u32>,
}

impl Candidate {
    fn all(passages: &[Passage], fallback: Language, lexicon: &mut Lexicon) -> Vec<Self> {
        let mut found = Vec::new();
        for (passage, source) in passages.iter().enumerate() {
            let language = match source.language {
                Language::Unknown => fallback,
                known => known,
            };
            for span in sentences(&source.text) {
                let (span, is_heading) = markdown::bare(span, &source.text);
                let Some(text) = span.of(&source.text) else {
                    continue;
                };
                let tokens = tokens(text, language, lexicon);
                if tokens.is_empty() {
                    continue;
                }
                found.push(Self {
                    passage,
                    span,
                    is_heading,
                    stems: tokens.iter().map(|token| token.stem).collect(),
                    forms: tokens.iter().map(|token| token.form).collect(),
                    tokens,
                });
            }
        }
        found
    }
}

/// The question's stems with their weights among the candidates.
struct Weighed {
    stems: Vec<(u32, f64)>,
    total: f64,
    /// Share of the question's weight that each passage holds.
    of_passage: Vec<f64>,
    forms: Vec<(u32, f64)>,
}

/// How much of the question a sentence holds, 0 to 1.
struct Match {
    /// By equal stems.
    hard: f64,
    /// Also by common beginnings.
    soft: f64,
    /// By equal word forms; stopwords count in full here, so it may pass 1.
    forms: f64,
}

impl Weighed {
    fn new(asked: &Asked, candidates: &[Candidate], passages: usize) -> Self {
        let count = candidates.len() as f64;
        let idf = |stem: u32| {
            let holding = candidates
                .iter()
                .filter(|c| c.stems.contains(&stem))
                .count() as f64;
            (1.0 + (count - holding + 0.5) / (holding + 0.5)).ln()
        };
        let stems: Vec<(u32, f64)> = asked
            .stems
            .iter()
            .map(|&(stem, stop)| (stem, idf(stem) * if stop { STOPWORD_WEIGHT } else { 1.0 }))
            .collect();
        let forms = asked
            .forms
            .iter()
            .map(|&(form, stem)| (form, idf(stem)))
            .collect();
        let total = stems
            .iter()
            .map(|(_, weight)| weight)
            .sum::<f64>()
            .max(f64::MIN_POSITIVE);
        let of_passage = (0..passages)
            .map(|passage| {
                let holds = |stem: u32| {
                    candidates
                        .iter()
                        .any(|c| c.passage == passage && c.stems.contains(&stem))
                };
                let held = stems.iter().filter(|(stem, _)| holds(*stem));
                held.map(|(_, weight)| weight).sum::<f64>() / total
            })
            .collect();
        Self {
            stems,
            total,
            of_passage,
            forms,
        }
    }

    fn matches(&self, candidate: &Candidate, lexicon: &Lexicon) -> Match {
        let (mut hard, mut soft) = (0.0, 0.0);
        for &(stem, weight) in &self.stems {
            if candidate.stems.contains(&stem) {
                hard += weight;
                soft += weight;
            } else {
                soft += weight * SOFT_WEIGHT * likeness(stem, candidate, lexicon);
            }
        }
        let held = self
            .forms
            .iter()
            .filter(|(form, _)| candidate.forms.contains(form));
        let forms = held.map(|(_, weight)| weight).sum::<f64>();
        Match {
            hard: hard / self.total,
            soft: soft / self.total,
            forms: forms / self.total,
        }
    }

    /// Weight of what `neighbour` holds of the question and `candidate` does not.
    fn added(&self, candidate: &Candidate, neighbour: Option<&Candidate>) -> f64 {
        let Some(neighbour) = neighbour else {
            return 0.0;
        };
        let added = self
            .stems
            .iter()
            .filter(|(stem, _)| !candidate.stems.contains(stem) && neighbour.stems.contains(stem));
        added.map(|(_, weight)| weight).sum::<f64>() / self.total
    }
}

/// Longest common beginning with any word of the sentence, as a share of the longer word.
fn likeness(stem: u32, candidate: &Candidate, lexicon: &Lexicon) -> f64 {
    let wanted: Vec<char> = lexicon.word(stem).chars().collect();
    if wanted.len() < SOFT_PREFIX_CHARS {
        return 0.0;
    }
    let of = |other: &str| {
        let common = wanted
            .iter()
            .zip(other.chars())
            .take_while(|(a, b)| **a == *b)
            .count();
        let longer = wanted.len().max(other.chars().count());
        if common < SOFT_PREFIX_CHARS {
            0.0
        } else {
            common as f64 / longer as f64
        }
    };
    candidate
        .stems
        .iter()
        .map(|stem| of(lexicon.word(*stem)))
        .fold(0.0, f64::max)
}

/// Place of each passage by score (from 1), and its score beside the best one's.
fn places(passages: &[Passage]) -> Vec<(usize, f64)> {
    let best = passages
        .iter()
        .map(|passage| passage.score)
        .fold(0.0_f32, f32::max);
    passages
        .iter()
        .enumerate()
        .map(|(at, passage)| {
            let before = passages.iter().enumerate().filter(|(other, rival)| {
                rival.score > passage.score || (*other < at && rival.score >= passage.score)
            });
            let share = if best > 0.0 {
                f64::from(passage.score / best)
            } else {
                1.0
            };
            (before.count() + 1, share.max(0.0))
        })
        .collect()
}

#[expect(
    clippy::too_many_arguments,
    reason = "the features look at everything there is"
)]
fn features(
    at: usize,
    candidates: &[Candidate],
    asked: &Asked,
    weighed: &Weighed,
    match_: &Match,
    grams: &Grams,
    places: &[(usize, f64)],
    lexicon: &Lexicon,
) -> [f64; WEIGHTS.len()] {
    let candidate = &candidates[at];
    let same_passage = |other: usize| {
        candidates
            .get(other)
            .filter(|neighbour| neighbour.passage == candidate.passage)
    };
    let previous = at.checked_sub(1).and_then(same_passage);
    let next = same_passage(at + 1);
    let offer = Offer::of(&candidate.tokens, lexicon, |stem| {
        asked.stem_set.contains(&stem)
    });
    let when = |asks: bool, offers: f64| if asks { offers } else { 0.0 };
    let (place, share) = places[candidate.passage];
    [
        match_.hard,
        match_.soft,
        match_.forms,
        grams.similarity[at],
        1.0 / place as f64,
        share,
        weighed.added(candidate, previous),
        weighed.added(candidate, next),
        when(asked.expected.number, offer.number),
        when(asked.expected.time, offer.time),
        when(asked.expected.name, offer.name),
        when(asked.expected.place, offer.name),
        when(asked.expected.cause, offer.cause),
    ]
}

#[cfg(test)]
mod tests;
