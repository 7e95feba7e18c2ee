//! Support of claims that quote nothing.

use super::{Checked, Evidence, Gate, MIN_CLAIM_WORDS, Place, Token, Verdict, windows};
use touchstone_types::ByteSpan;

/// Shortest beginning, in characters, that makes two stems alike.
const ALIKE_PREFIX_CHARS: usize = 5;

impl Gate {
    /// Checks the words of a claim against the sentences of the cited passages.
    pub(super) fn check_words(
        &mut self,
        words: &[Token],
        cited: &[usize],
        passages: &[usize],
    ) -> Checked {
        let mut evidence = Vec::new();
        let mut lacks_fact = false;
        for (marker, passage) in cited.iter().zip(passages) {
            let Some(span) = self.supporting(words, *passage) else {
                continue;
            };
            let ground = self.ground(passages);
            if self.has_facts(&ground, words) {
                let place = Place {
                    passage: *passage,
                    span,
                    is_exact: false,
                };
                evidence.push(Evidence::at(*marker, place));
            } else {
                lacks_fact = true;
            }
        }
        if !evidence.is_empty() {
            return Checked::sound(evidence, false);
        }
        if lacks_fact {
            return Checked::unsound(Verdict::UnsupportedNumber);
        }
        let others = (0..self.sources.passages().len()).filter(|p| !passages.contains(p));
        for other in others.collect::<Vec<_>>() {
            let ground = self.ground(&[other]);
            if self.supporting(words, other).is_some() && self.has_facts(&ground, words) {
                return Checked::unsound(Verdict::Misattributed);
            }
        }
        Checked::unsound(Verdict::Fabricated)
    }

    /// Checks a sentence without marks: it may claim nothing, or what some passage supports; then
    /// that passage is the evidence.
    pub(super) fn check_unmarked(&mut self, text: &str) -> Checked {
        let words = self.sources.analyse(text, self.language);
        let content = words.iter().filter(|word| !word.is_stopword).count();
        let has_number = words.iter().any(|word| word.has_digit);
        let announces = text.trim_end().ends_with(':');
        let claims_nothing = !has_number && (content < MIN_CLAIM_WORDS || announces);
        if claims_nothing || text.trim() == self.abstention {
            return Checked::default();
        }
        let passages: Vec<(usize, usize)> = self
            .sources
            .passages()
            .iter()
            .map(|passage| passage.marker)
            .enumerate()
            .collect();
        let verbatim = passages.iter().find_map(|(passage, marker)| {
            Some(Evidence::at(
                *marker,
                self.sources.find(*passage, text, &words)?,
            ))
        });
        if let Some(evidence) = verbatim {
            return Checked::sound(vec![evidence], false);
        }
        for (passage, marker) in passages {
            let Some(span) = self.supporting(&words, passage) else {
                continue;
            };
            let ground = self.ground(&[passage]);
            if self.has_facts(&ground, &words) {
                let evidence = Evidence::at(
                    marker,
                    Place {
                        passage,
                        span,
                        is_exact: false,
                    },
                );
                return Checked::sound(vec![evidence], false);
            }
        }
        Checked::unsound(Verdict::Fabricated)
    }

    /// The sentence, or the two in a row, of a passage that hold enough of the words.
    fn supporting(&self, words: &[Token], passage: usize) -> Option<ByteSpan> {
        let content: Vec<&Token> = words.iter().filter(|word| !word.is_stopword).collect();
        let content = if content.is_empty() {
            words.iter().collect()
        } else {
            content
        };
        let source = self.sources.passages().get(passage)?;
        let tokens = self.sources.tokens(passage);
        let mut best: Option<(f64, ByteSpan)> = None;
        for window in windows(&source.text) {
            let inside: Vec<u32> = tokens
                .iter()
                .filter(|token| window.start <= token.span.start && token.span.end <= window.end)
                .map(|token| token.stem)
                .collect();
            let held = content
                .iter()
                .filter(|word| self.holds(&inside, word.stem))
                .count();
            let share = held as f64 / content.len().max(1) as f64;
            if best.is_none_or(|(most, _)| share > most) {
                best = Some((share, window));
            }
        }
        best.filter(|(share, _)| *share >= self.min_support)
            .map(|(_, span)| span)
    }

    fn holds(&self, stems: &[u32], wanted: u32) -> bool {
        let lexicon = self.sources.lexicon();
        stems.contains(&wanted) || {
            let wanted = lexicon.word(wanted);
            stems.iter().any(|stem| {
                let pairs = wanted.chars().zip(lexicon.word(*stem).chars());
                pairs.take_while(|(a, b)| a == b).count() >= ALIKE_PREFIX_CHARS
            })
        }
    }
}
