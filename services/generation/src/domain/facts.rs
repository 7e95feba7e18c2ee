//! Numbers and names of a claim, which must stand in its source.

use std::collections::HashSet;

use super::terms::{Lexicon, Token};

/// Numbers in letters, by value.
const SMALL_NUMBERS: [&[&str]; 13] = [
    &["zero", "ноль"],
    &["one", "один", "одна", "одно", "одного", "одной"],
    &["two", "два", "две", "двух", "двумя"],
    &["three", "три", "трех", "тремя"],
    &["four", "четыре", "четырех"],
    &["five", "пять", "пяти"],
    &["six", "шесть", "шести"],
    &["seven", "семь", "семи"],
    &["eight", "восемь", "восьми"],
    &["nine", "девять", "девяти"],
    &["ten", "десять", "десяти"],
    &["eleven", "одиннадцать", "одиннадцати"],
    &["twelve", "двенадцать", "двенадцати"],
];
/// Shortest common beginning, in characters, of two forms of a name.
const NAME_PREFIX_CHARS: usize = 4;
/// Longest difference in length of two forms of a name.
const NAME_ENDING_CHARS: usize = 3;

/// Words that a claim may use.
#[derive(Clone, Debug, Default)]
pub struct Ground {
    forms: HashSet<u32>,
    stems: HashSet<u32>,
}

impl Ground {
    /// Adds the words of a text.
    pub fn add(&mut self, tokens: &[Token]) {
        self.forms.extend(tokens.iter().map(|token| token.form));
        self.stems.extend(tokens.iter().map(|token| token.stem));
    }

    /// Whether every number of the words is here, in digits or in letters.
    pub fn has_numbers(&self, words: &[Token], lexicon: &Lexicon) -> bool {
        words.iter().filter(|word| word.has_digit).all(|word| {
            self.forms.contains(&word.form) || {
                let value = lexicon.word(word.form).parse::<usize>().ok();
                let letters = value.and_then(|value| SMALL_NUMBERS.get(value));
                letters.is_some_and(|letters| {
                    self.forms
                        .iter()
                        .any(|form| letters.contains(&lexicon.word(*form)))
                })
            }
        })
    }

    /// Whether every name of the words is here: capitalised words but the first one.
    pub fn has_names(&self, words: &[Token], lexicon: &Lexicon) -> bool {
        let mut names = words
            .iter()
            .skip(1)
            .filter(|word| word.is_capital && !word.is_stopword);
        names.all(|word| self.stems.contains(&word.stem) || self.has_form_of(word.stem, lexicon))
    }

    fn has_form_of(&self, stem: u32, lexicon: &Lexicon) -> bool {
        let name = lexicon.word(stem);
        let length = name.chars().count();
        self.stems
            .iter()
            .map(|other| lexicon.word(*other))
            .any(|other| {
                let common = name
                    .chars()
                    .zip(other.chars())
                    .take_while(|(a, b)| a == b)
                    .count();
                let longer = length.max(other.chars().count());
                common >= NAME_PREFIX_CHARS && longer - common <= NAME_ENDING_CHARS
            })
    }
}

#[cfg(test)]
mod tests {
    use touchstone_text::Language;

    use super::*;
    use crate::domain::terms::tokens;

    #[test]
    fn numbers_and_names_must_be_in_the_source() {
        let mut lexicon = Lexicon::default();
        let mut ground = Ground::default();
        ground.add(&tokens(
            "Двух братьев из Москвы звали Иван и Пётр, 1,200 рублей",
            Language::Ru,
            &mut lexicon,
        ));
        for (claim, numbers, names) in [
            ("Их было 2, денег 1200", true, true),
            ("Их было 3", false, true),
            ("Он жил в Москве", true, true),
            ("Он жил в Лондоне", true, false),
        ] {
            let words = tokens(claim, Language::Ru, &mut lexicon);
            assert_eq!(ground.has_numbers(&words, &lexicon), numbers, "{claim}");
            assert_eq!(ground.has_names(&words, &lexicon), names, "{claim}");
        }
    }
}
