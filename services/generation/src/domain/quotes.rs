//! Quotations in a claim, and where words stand in the passages.

use touchstone_text::Language;
use touchstone_types::ByteSpan;

use super::passage::Passage;
use super::terms::{Lexicon, Token, tokens};

/// Quotations of a text, without their marks: `“…”`, `„…“`, `«…»`, `"…"`, the outer ones only.
pub fn quotations(text: &str) -> Vec<ByteSpan> {
    scan(text).0
}

/// Whether every opening mark has its closing one.
pub fn is_balanced(text: &str) -> bool {
    scan(text).1
}

/// The quotations, and whether none is left open.
fn scan(text: &str) -> (Vec<ByteSpan>, bool) {
    let mut found = Vec::new();
    let mut open: Option<(char, usize)> = None;
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match open {
            None => {
                if let Some(close) = closing(c) {
                    open = Some((close, at + c.len_utf8()));
                    depth = 1;
                }
            }
            Some((close, start)) if c == close || (close == '“' && c == '”') => {
                depth -= 1;
                if depth == 0 {
                    found.push(ByteSpan::new(start, at));
                    open = None;
                }
            }
            Some((close, _)) if c != '"' && closing(c) == Some(close) => depth += 1,
            Some(_) => {}
        }
    }
    (found, open.is_none())
}

/// The widest quotation: from the first opening mark to the last closing one.
pub fn widest(text: &str) -> Option<ByteSpan> {
    let (open, close) = text
        .char_indices()
        .find_map(|(at, c)| Some((at + c.len_utf8(), closing(c)?)))?;
    let end = text.rfind(close).or_else(|| text.rfind('”'))?;
    (end > open).then(|| ByteSpan::new(open, end))
}

const fn closing(open: char) -> Option<char> {
    match open {
        '“' => Some('”'),
        '„' => Some('“'),
        '«' => Some('»'),
        '"' => Some('"'),
        _ => None,
    }
}

/// The passages of a context, analysed.
#[derive(Debug)]
pub struct Sources {
    passages: Vec<Passage>,
    tokens: Vec<Vec<Token>>,
    lexicon: Lexicon,
}

/// Where a quotation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the passage.
    pub passage: usize,
    /// Where in it.
    pub span: ByteSpan,
    /// Byte for byte, or but for case, spaces and punctuation.
    pub is_exact: bool,
}

impl Sources {
    /// Analyses the passages.
    pub fn new(passages: Vec<Passage>) -> Self {
        let mut lexicon = Lexicon::default();
        let tokens = passages
            .iter()
            .map(|p| tokens(&p.text, p.language, &mut lexicon))
            .collect();
        Self {
            passages,
            tokens,
            lexicon,
        }
    }

    /// The passages.
    pub fn passages(&self) -> &[Passage] {
        &self.passages
    }

    /// A passage's words.
    pub fn tokens(&self, passage: usize) -> &[Token] {
        self.tokens.get(passage).map_or(&[], Vec::as_slice)
    }

    /// The words of all.
    pub const fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// Analyses a text with the passages' words.
    pub fn analyse(&mut self, text: &str, language: Language) -> Vec<Token> {
        tokens(text, language, &mut self.lexicon)
    }

    /// The index of a mark's passage.
    pub fn by_marker(&self, marker: usize) -> Option<usize> {
        self.passages
            .iter()
            .position(|passage| passage.marker == marker)
    }

    /// Finds a text in a passage: its bytes, else its words in a row.
    pub fn find(&self, passage: usize, text: &str, words: &[Token]) -> Option<Place> {
        let source = &self.passages.get(passage)?.text;
        let trimmed = text.trim();
        if !words.is_empty()
            && let Some(start) = find_bounded(source, trimmed)
        {
            let span = ByteSpan::new(start, start + trimmed.len());
            return Some(Place {
                passage,
                span,
                is_exact: true,
            });
        }
        let at = find_run(self.tokens(passage), words, |token, word| {
            token.form == word.form
        })?;
        Some(self.place(passage, at, words.len(), trimmed))
    }

    /// Finds words in a row of which those for which `may_differ` holds may be others.
    pub fn find_altered(
        &self,
        passage: usize,
        words: &[Token],
        may_differ: impl Fn(&Token) -> bool,
    ) -> bool {
        let run = |token: &Token, word: &Token| {
            token.form == word.form || (may_differ(word) && may_differ(token))
        };
        find_run(self.tokens(passage), words, run).is_some()
    }

    /// The longest run, from the first of `words` on, that stands in any passage.
    pub fn longest_run(&self, words: &[Token]) -> usize {
        let Some(first) = words.first() else { return 0 };
        let runs = self.tokens.iter().flat_map(|tokens| {
            tokens
                .iter()
                .enumerate()
                .filter(|(_, token)| token.form == first.form)
                .map(move |(at, _)| {
                    let pairs = tokens[at..].iter().zip(words);
                    pairs
                        .take_while(|(token, word)| token.form == word.form)
                        .count()
                })
        });
        runs.max().unwrap_or(0)
    }

    /// The bytes of a run of words, with the end mark behind them when `text` has one.
    fn place(&self, passage: usize, at: usize, count: usize, text: &str) -> Place {
        let tokens = self.tokens(passage);
        let source = &self.passages[passage].text;
        let (start, mut end) = (tokens[at].span.start, tokens[at + count - 1].span.end);
        if text.ends_with(['.', '!', '?', '…', '"', '”', '»', ')']) {
            let behind = &source[end..];
            let rest = behind.trim_start_matches(['.', '!', '?', '…', '"', '”', '»', ')']);
            end += behind.len() - rest.len();
        }
        Place {
            passage,
            span: ByteSpan::new(start, end),
            is_exact: false,
        }
    }
}

/// The first place of `needle` that does not cut a word.
fn find_bounded(text: &str, needle: &str) -> Option<usize> {
    if needle.is_empty() {
        return None;
    }
    let cuts = |left: Option<char>, right: Option<char>| {
        left.is_some_and(char::is_alphanumeric) && right.is_some_and(char::is_alphanumeric)
    };
    text.match_indices(needle)
        .map(|(start, _)| start)
        .find(|start| {
            let end = start + needle.len();
            !cuts(text[..*start].chars().next_back(), needle.chars().next())
                && !cuts(needle.chars().next_back(), text[end..].chars().next())
        })
}

fn find_run(
    tokens: &[Token],
    words: &[Token],
    same: impl Fn(&Token, &Token) -> bool,
) -> Option<usize> {
    if words.is_empty() {
        return None;
    }
    tokens.windows(words.len()).position(|window| {
        window
            .iter()
            .zip(words)
            .all(|(token, word)| same(token, word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inner(text: &str) -> Vec<&str> {
        quotations(text)
            .into_iter()
            .filter_map(|span| span.of(text))
            .collect()
    }

    #[test]
    fn finds_outer_quotations() {
        assert_eq!(inner("He said “a “b” c” and \"d\"."), ["a “b” c", "d"]);
        assert_eq!(
            inner("Он сказал «да «нет» да», „so“."),
            ["да «нет» да", "so"]
        );
        assert!(inner("a 6\" pipe, it's «open").is_empty());
        let text = "“a ”b” [1]";
        assert_eq!(widest(text).and_then(|span| span.of(text)), Some("a ”b"));
    }

    #[test]
    fn sees_open_quotations() {
        assert!(is_balanced("“a” «b» \"c\" „d“"));
        assert!(!is_balanced("He said “A.") && !is_balanced("«A.") && !is_balanced("\"A."));
    }

    #[test]
    fn a_place_does_not_cut_words() {
        assert_eq!(find_bounded("concat cat", "cat"), Some(7));
        assert_eq!(find_bounded("1914", "19"), None);
    }
}
