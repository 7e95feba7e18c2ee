//! Gated pseudo-relevance feedback: terms of the best passages join the question, when they agree.

use std::collections::HashMap;

use touchstone_text::{Language, for_each_term, is_stopword};

/// Parameters of the feedback.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feedback {
    /// Passages that are trusted.
    pub passages: usize,
    /// Terms that are taken.
    pub terms: usize,
    /// Share of the trusted passages that must hold a term.
    pub agreement: f32,
}

/// Why no terms were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shut {
    /// Fewer passages than are needed.
    TooFewPassages,
    /// The first passage is so far ahead that there is nothing to gain.
    ClearLead,
    /// The passages have too little in common.
    NoAgreement,
}

impl Shut {
    /// In words, for `explain`.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooFewPassages => "gate shut: too few passages",
            Self::ClearLead => "gate shut: the first passage is clearly ahead",
            Self::NoAgreement => "gate shut: the passages have too little in common",
        }
    }
}

/// A lead of this share of the best score needs no help.
const CLEAR_LEAD: f32 = 0.15;

/// Picks the words that the best passages share and the question lacks, the most shared first.
///
/// `ranked` holds text, language and score of the candidates, best first.
///
/// # Errors
/// [`Shut`] when the gate stays shut.
pub fn terms(
    question: &str,
    ranked: &[(&str, Language, f32)],
    feedback: &Feedback,
) -> Result<Vec<String>, Shut> {
    let trusted = ranked
        .get(..feedback.passages)
        .ok_or(Shut::TooFewPassages)?;
    if trusted.len() < 2 {
        return Err(Shut::TooFewPassages);
    }
    if trusted[0].2 - trusted[1].2 > CLEAR_LEAD * trusted[0].2 {
        return Err(Shut::ClearLead);
    }
    let mut asked = Vec::new();
    for_each_term(question, trusted[0].1, |_, stem| {
        asked.push(stem.to_owned());
    });
    let mut found: HashMap<String, (usize, usize, String)> = HashMap::new();
    for (at, (text, language, _)) in trusted.iter().enumerate() {
        for_each_term(text, *language, |word, stem| {
            let short = word.text.chars().count() < 3;
            if short || is_stopword(word.text, *language) || asked.iter().any(|term| term == stem) {
                return;
            }
            let entry = found
                .entry(stem.to_owned())
                .or_insert_with(|| (0, usize::MAX, word.text.to_lowercase()));
            if entry.1 != at {
                *entry = (entry.0 + 1, at, std::mem::take(&mut entry.2));
            }
        });
    }
    let least = (feedback.agreement * trusted.len() as f32).ceil().max(2.0) as usize;
    let mut shared: Vec<(usize, String)> = found
        .into_values()
        .filter(|(count, ..)| *count >= least)
        .map(|(count, _, word)| (count, word))
        .collect();
    shared.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    shared.truncate(feedback.terms);
    if shared.is_empty() {
        Err(Shut::NoAgreement)
    } else {
        Ok(shared.into_iter().map(|(_, word)| word).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEEDBACK: Feedback = Feedback {
        passages: 3,
        terms: 2,
        agreement: 0.6,
    };

    fn ranked(scores: [f32; 3]) -> Vec<(&'static str, Language, f32)> {
        vec![
            (
                "The delta of the river floods farmland.",
                Language::En,
                scores[0],
            ),
            (
                "Farmland by the river delta is rich.",
                Language::En,
                scores[1],
            ),
            ("A river boat passes.", Language::En, scores[2]),
        ]
    }

    #[test]
    fn takes_what_the_passages_share() {
        let words = terms("river", &ranked([0.9, 0.88, 0.5]), &FEEDBACK);
        assert_eq!(words, Ok(vec!["delta".to_owned(), "farmland".to_owned()]));
    }

    #[test]
    fn stays_shut_when_there_is_nothing_to_gain() {
        let lead = terms("river", &ranked([0.9, 0.5, 0.4]), &FEEDBACK);
        assert_eq!(lead, Err(Shut::ClearLead));
        assert_eq!(terms("river", &[], &FEEDBACK), Err(Shut::TooFewPassages));
        let asked = terms("river delta farmland", &ranked([0.9, 0.88, 0.5]), &FEEDBACK);
        assert_eq!(asked, Err(Shut::NoAgreement));
    }
}
