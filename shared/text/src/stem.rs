use rust_stemmers::Stemmer;
use unicode_normalization::{UnicodeNormalization, is_nfkc};

use crate::word::words;
use crate::{Language, Word};

/// Brings a word into its comparable form: NFKC, lower case, `ё` as `е`, one kind of apostrophe,
/// thousands without separators (`6,650` is `6650`), decimal comma as point.
pub fn normalize(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    normalize_into(word, &mut out);
    out
}

pub(crate) fn normalize_into(word: &str, out: &mut String) {
    out.clear();
    if word.is_ascii() {
        out.push_str(word);
        out.make_ascii_lowercase();
    } else if word
        .chars()
        .all(|c| c.is_ascii() || matches!(c, '\u{410}'..='\u{44f}'))
    {
        // Russian letters are their own normal form; `ё` is not among these.
        out.extend(word.chars().map(|c| match c {
            '\u{410}'..='\u{42f}' => char::from_u32(c as u32 + 0x20).unwrap_or(c),
            _ => c.to_ascii_lowercase(),
        }));
    } else if is_nfkc(word) {
        word.chars().for_each(|c| push_folded(c, out));
    } else {
        word.nfkc().for_each(|c| push_folded(c, out));
    }
    if out.as_bytes().contains(&b',') {
        *out = fold_number(out);
    }
}

fn push_folded(c: char, out: &mut String) {
    match c {
        'ё' | 'Ё' => out.push('е'),
        '\u{2019}' | '\u{2bc}' => out.push('\''),
        // Soft hyphen and the dot that lower-casing a Turkish İ leaves behind.
        '\u{ad}' => {}
        _ => c
            .to_lowercase()
            .filter(|c| *c != '\u{307}')
            .for_each(|c| out.push(c)),
    }
}

fn fold_number(word: &str) -> String {
    let thousands = word
        .split('.')
        .next()
        .is_some_and(|whole| whole.split(',').skip(1).all(|group| group.len() == 3));
    if thousands {
        word.replace(',', "")
    } else {
        word.replace(',', ".")
    }
}

/// Normalises and stems a word.
///
/// A word in another script than its language's is stemmed by its own script's: Latin letters in a
/// Russian text as English, Cyrillic letters in any other text as Russian. Accents of Latin letters
/// are dropped (after stemming, where the stemmer needs them), so that `Beyoncé` finds `Beyonce`.
pub fn stem(word: &str, language: Language) -> String {
    let mut out = String::with_capacity(word.len());
    stem_into(word, language, &mut out);
    out
}

fn stem_into(word: &str, language: Language, out: &mut String) {
    normalize_into(word, out);
    let language = stemming_language(out, language);
    let Some(algorithm) = language.algorithm() else {
        return;
    };
    if out.bytes().any(|byte| byte.is_ascii_digit()) {
        return;
    }
    if language == Language::En {
        drop_accents(out);
    }
    let stemmed = Stemmer::create(algorithm).stem(out).into_owned();
    if !stemmed.is_empty() {
        *out = stemmed;
    }
    drop_accents(out);
}

fn drop_accents(word: &mut String) {
    if !word.is_ascii() && word.chars().all(is_latin) {
        *word = word.nfd().filter(char::is_ascii).collect::<String>();
    }
}

/// The language by whose rules a normalised word is stemmed.
fn stemming_language(word: &str, language: Language) -> Language {
    match word.chars().next() {
        Some('\u{400}'..='\u{52f}') if !language.is_cyrillic() => Language::Ru,
        Some(c) if is_latin(c) && !language.is_latin() => Language::En,
        _ => language,
    }
}

/// Latin letters that decompose into an ASCII letter and accents, and the apostrophe.
fn is_latin(c: char) -> bool {
    c.is_ascii_alphabetic()
        || c == '\''
        || (matches!(c, '\u{c0}'..='\u{17f}') && std::iter::once(c).nfd().any(|c| c.is_ascii()))
}

/// The normalised stems of all words, in order.
pub fn terms(text: &str, language: Language) -> Vec<String> {
    let mut out = Vec::new();
    for_each_term(text, language, |_, term| out.push(term.to_owned()));
    out
}

/// Calls `visit` with every word and its normalised stem, in order, without a string per word.
pub fn for_each_term<'a>(text: &'a str, language: Language, mut visit: impl FnMut(Word<'a>, &str)) {
    let mut buffer = String::new();
    for word in words(text) {
        stem_into(word.text, language, &mut buffer);
        visit(word, &buffer);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folds_case_width_yo_and_numbers() {
        assert_eq!(normalize("ЁЛКА"), "елка");
        assert_eq!(normalize("Ｆｕｌｌ"), "full");
        assert_eq!(normalize("don’t"), "don't");
        assert_eq!(normalize("6,650"), "6650");
        assert_eq!(normalize("1,234,567.5"), "1234567.5");
        assert_eq!(normalize("3,5"), "3.5");
    }

    #[test]
    fn stems_by_language_and_by_script() {
        assert_eq!(stem("Flowing", Language::En), "flow");
        assert_eq!(
            stem("деревьями", Language::Ru),
            stem("деревьях", Language::Ru)
        );
        assert_eq!(stem("Flowing", Language::Ru), "flow");
        assert_eq!(
            stem("деревьями", Language::En),
            stem("деревьях", Language::Ru)
        );
        assert_eq!(stem("Beyoncé", Language::En), stem("Beyonce", Language::En));
        assert_eq!(
            stem("company's", Language::En),
            stem("company", Language::En)
        );
        assert_eq!(stem("5th", Language::En), "5th");
    }

    proptest! {
        #[test]
        fn never_loses_a_word(text in "\\PC{0,60}|[a-zа-яё0-9 .,'’\u{ad}]{0,60}") {
            prop_assert_eq!(terms(&text, Language::Ru).len(), words(&text).count());
            prop_assert_eq!(terms(&text, Language::En).len(), words(&text).count());
        }

        #[test]
        fn normalising_twice_changes_nothing(word in "[\\p{L}\\p{N}',]{1,12}") {
            let once = normalize(&word);
            prop_assert_eq!(normalize(&once), once);
        }
    }
}
