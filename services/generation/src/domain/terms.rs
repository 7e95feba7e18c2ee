//! Texts as lists of analysed words.

use std::collections::HashMap;

use touchstone_text::{Language, is_stopword, normalize, stem, words};
use touchstone_types::ByteSpan;

/// Numbers words, so that texts compare as lists of small integers.
#[derive(Clone, Debug, Default)]
pub struct Lexicon {
    ids: HashMap<String, u32>,
    words: Vec<String>,
    /// Words as they were written, by language: most words come again and again.
    known: HashMap<Language, HashMap<String, Analysis>>,
}

/// What does not depend on where a word stands.
#[derive(Clone, Copy, Debug)]
struct Analysis {
    form: u32,
    stem: u32,
    is_stopword: bool,
    has_digit: bool,
}

impl Lexicon {
    fn analyse(&mut self, word: &str, language: Language) -> Analysis {
        if let Some(known) = self.known.get(&language).and_then(|words| words.get(word)) {
            return *known;
        }
        let normalized = normalize(word);
        let analysis = Analysis {
            is_stopword: is_stopword(&normalized, language),
            has_digit: normalized.bytes().any(|byte| byte.is_ascii_digit()),
            stem: self.intern(stem(word, language)),
            form: self.intern(normalized),
        };
        self.known
            .entry(language)
            .or_default()
            .insert(word.to_owned(), analysis);
        analysis
    }

    /// The number of a word; a new one for a word not seen before.
    pub fn intern(&mut self, word: String) -> u32 {
        if let Some(id) = self.ids.get(&word) {
            return *id;
        }
        let id = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        self.words.push(word.clone());
        self.ids.insert(word, id);
        id
    }

    /// The word of a number.
    pub fn word(&self, id: u32) -> &str {
        self.words.get(id as usize).map_or("", String::as_str)
    }
}

/// A word of a text, analysed.
#[derive(Clone, Debug)]
pub struct Token {
    /// Where it stands.
    pub span: ByteSpan,
    /// Its comparable form.
    pub form: u32,
    /// Its stem.
    pub stem: u32,
    /// Whether it says nothing by itself.
    pub is_stopword: bool,
    /// Whether it begins with a capital letter.
    pub is_capital: bool,
    /// Whether it has a digit.
    pub has_digit: bool,
}

/// Analyses a text. Footnote numbers in brackets (`[4]`) are no words.
pub fn tokens(text: &str, language: Language, lexicon: &mut Lexicon) -> Vec<Token> {
    let mut found = Vec::with_capacity(text.len() / 6 + 1);
    for word in words(text) {
        if is_footnote(text, word.span) {
            continue;
        }
        let Analysis {
            form,
            stem,
            is_stopword,
            has_digit,
        } = lexicon.analyse(word.text, language);
        let is_capital = word.text.chars().next().is_some_and(char::is_uppercase);
        found.push(Token {
            span: word.span,
            form,
            stem,
            is_stopword,
            is_capital,
            has_digit,
        });
    }
    found
}

/// Whether the word is a number in square brackets.
fn is_footnote(text: &str, span: ByteSpan) -> bool {
    text.as_bytes()[span.start..span.end]
        .iter()
        .all(u8::is_ascii_digit)
        && text[..span.start].ends_with('[')
        && text[span.end..].starts_with(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footnotes_are_no_words() {
        let mut lexicon = Lexicon::default();
        let found = tokens("It began in 1914.[4] Then", Language::En, &mut lexicon);
        let forms: Vec<_> = found.iter().map(|token| lexicon.word(token.form)).collect();
        assert_eq!(forms, ["it", "began", "in", "1914", "then"]);
        assert!(found[0].is_stopword && found[3].has_digit && found[4].is_capital);
    }
}
