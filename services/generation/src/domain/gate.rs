//! The citation gate: checks every claim of an answer against the passages, without a model.
//!
//! A claim is a sentence with its marks. It holds when its quotations stand in the cited passages,
//! or, without quotations, when a sentence or two of them support its words; its numbers and names
//! must stand there in any case. What does not hold is struck.

use touchstone_text::{Language, detect, sentences};
use touchstone_types::ByteSpan;

use super::abstain;
use super::facts::Ground;
use super::marks::{marks, retain};
use super::passage::Passage;
use super::quotes::{Place, Sources, is_balanced};
use super::splitter::{Piece, Splitter};
use super::terms::Token;

mod quotation;
mod support;

/// Sentences without marks that wait for a mark behind them, at most.
const MAX_PENDING: usize = 8;
/// With fewer content words, a sentence without marks claims nothing.
const MIN_CLAIM_WORDS: usize = 3;

/// What the gate finds about a claim; see the wire type of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Stands there byte for byte.
    Exact,
    /// Stands there but for case, spaces or punctuation, or in other words.
    Fuzzy,
    /// Stands in another passage.
    Misattributed,
    /// Stitched from several places.
    Frankenquote,
    /// A number or a name is not in the source.
    UnsupportedNumber,
    /// Stands nowhere.
    Fabricated,
}

impl Verdict {
    /// Whether the claim may be delivered.
    pub const fn is_sound(self) -> bool {
        matches!(self, Self::Exact | Self::Fuzzy)
    }
}

/// A claim after the check.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Its text as it may be delivered: marks without support are gone.
    pub text: String,
    /// Bytes of the stream that it covers.
    pub stream: ByteSpan,
    /// What was found; `None` for text that claims nothing.
    pub verdict: Option<Verdict>,
    /// Where its marks stand.
    pub evidence: Vec<Evidence>,
}

impl Claim {
    /// Whether it stays in the answer.
    pub fn is_kept(&self) -> bool {
        self.verdict.is_none_or(Verdict::is_sound)
    }
}

/// Where a mark's words stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The mark.
    pub marker: usize,
    /// Index of the passage.
    pub passage: usize,
    /// Where in it.
    pub span: ByteSpan,
    /// How it stands there.
    pub verdict: Verdict,
}

/// The gate of one answer.
#[derive(Debug)]
pub struct Gate {
    sources: Sources,
    question: Vec<Token>,
    language: Language,
    /// What an answer says when it has none.
    abstention: &'static str,
    splitter: Splitter,
    pending: Vec<Piece>,
    /// Bytes of the stream given out in claims.
    at: usize,
    min_support: f64,
}

impl Gate {
    /// A gate over the passages of a context. `min_support` is the share of a claim's content words
    /// that must stand in the sentences behind it when it quotes nothing.
    pub fn new(question: &str, passages: Vec<Passage>, min_support: f64) -> Self {
        let mut sources = Sources::new(passages);
        let language = detect(question);
        let words = sources.analyse(question, language);
        Self {
            sources,
            question: words,
            language,
            abstention: abstain::sentence(question),
            splitter: Splitter::default(),
            pending: Vec::new(),
            at: 0,
            min_support,
        }
    }

    /// The passages.
    pub fn passages(&self) -> &[Passage] {
        self.sources.passages()
    }

    /// Takes a piece of the answer, gives the claims that it completes.
    pub fn push(&mut self, text: &str) -> Vec<Claim> {
        let pieces = self.splitter.push(text);
        self.take(pieces)
    }

    /// Gives the claims that are left.
    pub fn finish(&mut self) -> Vec<Claim> {
        let pieces = self.splitter.finish();
        let mut claims = self.take(pieces);
        self.release(&mut claims);
        claims
    }

    fn take(&mut self, pieces: Vec<Piece>) -> Vec<Claim> {
        let mut claims = Vec::new();
        for piece in pieces {
            let has_marks = !marks(&piece.text).is_empty();
            let ends_line = piece.ends_line;
            if has_marks {
                self.settle(piece, &mut claims);
            } else {
                self.pending.push(piece);
                if ends_line || self.pending.len() > MAX_PENDING {
                    self.release(&mut claims);
                }
            }
        }
        claims
    }

    /// Checks a sentence with marks, together with those before it when they are one quotation.
    fn settle(&mut self, piece: Piece, claims: &mut Vec<Claim>) {
        if !self.pending.is_empty() {
            let before: String = self
                .pending
                .iter()
                .map(|piece| piece.text.as_str())
                .collect();
            let together = format!("{before}{}", piece.text);
            let open = !is_balanced(&before);
            let verbatim = self.check(&together);
            let is_one =
                verbatim.whole || (open && verbatim.verdict.is_some_and(Verdict::is_sound));
            if is_one {
                self.pending.clear();
                claims.push(self.claim(together, verbatim));
                return;
            }
        }
        self.release(claims);
        let checked = self.check(&piece.text);
        claims.push(self.claim(piece.text, checked));
    }

    /// Checks what waits, without marks.
    fn release(&mut self, claims: &mut Vec<Claim>) {
        for piece in std::mem::take(&mut self.pending) {
            let checked = self.check_unmarked(&piece.text);
            let evidence = checked.evidence.first().map(|evidence| evidence.marker);
            let mut claim = self.claim(piece.text, checked);
            if let Some(marker) = evidence {
                let end = claim.text.trim_end().len();
                claim.text.insert_str(end, &format!(" [{marker}]"));
            }
            claims.push(claim);
        }
    }

    fn claim(&mut self, text: String, checked: Checked) -> Claim {
        let stream = ByteSpan::new(self.at, self.at + text.len());
        self.at = stream.end;
        let is_sound = checked.verdict.is_some_and(Verdict::is_sound);
        let supported = |marker| checked.evidence.iter().any(|e| e.marker == marker);
        let text = if is_sound {
            retain(&text, supported)
        } else {
            text
        };
        Claim {
            text,
            stream,
            verdict: checked.verdict,
            evidence: checked.evidence,
        }
    }

    /// What a claim over these passages may name: their words, their titles, the question.
    fn ground(&mut self, passages: &[usize]) -> Ground {
        let mut ground = Ground::default();
        ground.add(&self.question);
        for &passage in passages {
            ground.add(self.sources.tokens(passage));
            let Some(source) = self.sources.passages().get(passage) else {
                continue;
            };
            let (title, language) = (source.title.clone(), source.language);
            let title = self.sources.analyse(&title, language);
            ground.add(&title);
        }
        ground
    }

    fn has_facts(&self, ground: &Ground, words: &[Token]) -> bool {
        let lexicon = self.sources.lexicon();
        // German writes every noun with a capital.
        let checks_names = self.language != Language::De;
        ground.has_numbers(words, lexicon) && (!checks_names || ground.has_names(words, lexicon))
    }
}

/// What a check found.
#[derive(Debug, Default)]
struct Checked {
    verdict: Option<Verdict>,
    evidence: Vec<Evidence>,
    /// Whether the whole text stands in a passage.
    whole: bool,
}

impl Checked {
    fn unsound(verdict: Verdict) -> Self {
        Self {
            verdict: Some(verdict),
            ..Self::default()
        }
    }

    fn sound(mut evidence: Vec<Evidence>, whole: bool) -> Self {
        let mut seen = Vec::new();
        evidence.retain(|e| {
            let is_new = !seen.contains(&(e.marker, e.span));
            seen.push((e.marker, e.span));
            is_new
        });
        let verdict = evidence.iter().map(|e| e.verdict).max();
        Self {
            verdict,
            evidence,
            whole,
        }
    }
}

impl Evidence {
    const fn at(marker: usize, place: Place) -> Self {
        let verdict = if place.is_exact {
            Verdict::Exact
        } else {
            Verdict::Fuzzy
        };
        Self {
            marker,
            passage: place.passage,
            span: place.span,
            verdict,
        }
    }
}

/// Spans of one and of two sentences in a row.
fn windows(text: &str) -> Vec<ByteSpan> {
    let spans = sentences(text);
    let pairs = spans
        .windows(2)
        .map(|pair| ByteSpan::new(pair[0].start, pair[1].end));
    spans.iter().copied().chain(pairs).collect()
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
