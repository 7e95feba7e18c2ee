use whatlang::{Detector, Lang};

use crate::stopwords::{STOPWORDS, lists_with};
use crate::word::{is_solitary, words};
use crate::{Language, normalize};

/// Bytes at the start of a text that its language is guessed from.
const SAMPLE_BYTES: usize = 800;
/// Words of the sample that are looked up among the function words.
const SAMPLE_WORDS: usize = 60;
/// Below this many letters, trigram statistics guess wildly.
const MIN_LETTERS: usize = 40;

/// Guesses the language of a text: by script, then by function words, then by trigrams.
///
/// A short Latin text without any evidence is [`Language::En`] when it is plain ASCII and
/// [`Language::Unknown`] otherwise.
pub fn detect(text: &str) -> Language {
    judge(sample(text)).0
}

/// The languages that a query may be in, most likely first, at least one: a few words are often
/// not enough to tell, and stemming by each of them finds what stemming by one misses.
pub fn detect_query(text: &str) -> Vec<Language> {
    let (first, votes) = judge(sample(text));
    let mut found = vec![first];
    if first.is_latin() {
        found.extend(
            votes
                .iter()
                .filter(|vote| vote.1 > 0)
                .map(|vote| vote.0)
                .take(3),
        );
        let mut seen = Vec::new();
        found.retain(|language| {
            let new = !seen.contains(language);
            seen.push(*language);
            new
        });
        found.truncate(3);
    }
    found
}

/// The language of a sample, and the votes if it was put to the vote.
fn judge(sample: &str) -> (Language, Vec<(Language, usize)>) {
    let scripts = Scripts::count(sample);
    let language = match scripts.dominant() {
        Some(Script::Latin) => {
            let votes = vote(sample);
            return (among_latin(sample, scripts.latin, &votes), votes);
        }
        Some(Script::Cyrillic) if scripts.ukrainian * 50 > scripts.cyrillic => Language::Uk,
        Some(Script::Cyrillic) => Language::Ru,
        Some(Script::Other(language)) => language,
        None => Language::Unknown,
    };
    (language, Vec::new())
}

fn sample(text: &str) -> &str {
    let mut end = text.len().min(SAMPLE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Languages with at least one function word in the sample, most hits first.
fn vote(sample: &str) -> Vec<(Language, usize)> {
    let mut votes: Vec<(Language, usize)> = STOPWORDS
        .iter()
        .map(|(language, _)| (*language, 0))
        .collect();
    for word in words(sample).take(SAMPLE_WORDS) {
        for place in lists_with(&normalize(word.text)) {
            votes[place].1 += 1;
        }
    }
    votes.retain(|vote| vote.0.is_latin() && vote.1 > 0);
    votes.sort_by_key(|vote| std::cmp::Reverse(vote.1));
    votes
}

fn among_latin(sample: &str, letters: usize, votes: &[(Language, usize)]) -> Language {
    let lead = |at: usize| votes.get(at).map_or(0, |vote| vote.1);
    if lead(0) >= 2 && lead(0) * 2 >= lead(1) * 3 {
        return votes[0].0;
    }
    if letters >= MIN_LETTERS {
        let guess = Detector::new()
            .detect(sample)
            .filter(whatlang::Info::is_reliable);
        if let Some(language) = guess.map(|info| from_whatlang(info.lang())) {
            return language;
        }
    }
    if lead(0) > lead(1) {
        return votes[0].0;
    }
    if sample.is_ascii()
        || votes
            .iter()
            .any(|vote| vote.0 == Language::En && vote.1 == lead(0))
    {
        return Language::En;
    }
    votes.first().map_or(Language::Unknown, |vote| vote.0)
}

fn from_whatlang(lang: Lang) -> Language {
    Language::from_code(lang.code())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    Latin,
    Cyrillic,
    Other(Language),
}

#[derive(Default)]
struct Scripts {
    latin: usize,
    cyrillic: usize,
    ukrainian: usize,
    greek: usize,
    arabic: usize,
    tamil: usize,
    han: usize,
    kana: usize,
    hangul: usize,
}

impl Scripts {
    fn count(sample: &str) -> Self {
        let mut scripts = Self::default();
        for c in sample.chars() {
            match c {
                'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' => scripts.latin += 1,
                'і' | 'ї' | 'є' | 'ґ' | 'І' | 'Ї' | 'Є' | 'Ґ' => {
                    scripts.cyrillic += 1;
                    scripts.ukrainian += 1;
                }
                '\u{400}'..='\u{52f}' => scripts.cyrillic += 1,
                '\u{370}'..='\u{3ff}' => scripts.greek += 1,
                '\u{600}'..='\u{6ff}' => scripts.arabic += 1,
                '\u{b80}'..='\u{bff}' => scripts.tamil += 1,
                '\u{3041}'..='\u{30ff}' => scripts.kana += 1,
                '\u{ac00}'..='\u{d7af}' => scripts.hangul += 1,
                c if is_solitary(c) => scripts.han += 1,
                _ => {}
            }
        }
        scripts
    }

    fn dominant(&self) -> Option<Script> {
        let east = if self.kana * 10 > self.han {
            Language::Ja
        } else {
            Language::Zh
        };
        // An ideograph says about as much as three letters.
        [
            (self.latin, Script::Latin),
            (self.cyrillic, Script::Cyrillic),
            (self.greek, Script::Other(Language::El)),
            (self.arabic, Script::Other(Language::Ar)),
            (self.tamil, Script::Other(Language::Ta)),
            ((self.han + self.kana) * 3, Script::Other(east)),
            (self.hangul * 2, Script::Other(Language::Ko)),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .max_by_key(|(count, _)| *count)
        .map(|(_, script)| script)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tells_common_languages_apart() {
        let cases = [
            (
                "Who was the first president of the United States?",
                Language::En,
            ),
            ("Photosynthesis", Language::En),
            ("Кто был первым президентом США?", Language::Ru),
            (
                "Wer war der erste Präsident der Vereinigten Staaten und wann?",
                Language::De,
            ),
            (
                "Qui était le premier président des États-Unis ?",
                Language::Fr,
            ),
            (
                "¿Quién fue el primer presidente de los Estados Unidos?",
                Language::Es,
            ),
            (
                "Хто був першим президентом України і її столиці?",
                Language::Uk,
            ),
            ("東京は日本の首都です。", Language::Ja),
            ("北京是中国的首都。", Language::Zh),
            ("12 345", Language::Unknown),
            ("", Language::Unknown),
        ];
        for (text, language) in cases {
            assert_eq!(detect(text), language, "{text}");
        }
    }

    #[test]
    fn a_russian_text_with_latin_names_stays_russian() {
        assert_eq!(
            detect("Компания Apple выпустила iPhone и MacBook в этом году."),
            Language::Ru
        );
    }

    proptest! {
        #[test]
        fn never_fails(text in "\\PC{0,300}") {
            let _ = detect(&text);
            prop_assert!(!detect_query(&text).is_empty());
        }
    }
}
