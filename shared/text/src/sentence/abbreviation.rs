use crate::stopwords::{STOPWORDS, contains};
use crate::word::words;
use crate::{Language, normalize};

/// Never end a sentence.
const ALWAYS: &[&str] = &[
    "e.g",
    "i.e",
    "cf",
    "viz",
    "v",
    "vs",
    "mr",
    "mrs",
    "ms",
    "dr",
    "prof",
    "дж",
    "т.е",
    "т.к",
    "т.н",
    "напр",
    "см",
    "ср",
    "им",
    "ул",
    "просп",
    "тов",
    "проф",
    "акад",
    "доц",
    "св",
    "ред",
    "z.b",
    "d.h",
    "bzw",
];

/// End a sentence when another clearly starts behind them.
const OFTEN: &[&str] = &[
    "al",
    "approx",
    "apr",
    "assoc",
    "aug",
    "ave",
    "blvd",
    "bros",
    "ca",
    "capt",
    "ch",
    "co",
    "col",
    "corp",
    "dec",
    "dept",
    "ed",
    "eds",
    "eq",
    "esp",
    "est",
    "etc",
    "feb",
    "fig",
    "figs",
    "gen",
    "gov",
    "hon",
    "inc",
    "jan",
    "jr",
    "jul",
    "jun",
    "lt",
    "ltd",
    "maj",
    "mar",
    "mln",
    "mt",
    "nov",
    "oct",
    "ph.d",
    "pp",
    "pres",
    "rep",
    "rev",
    "sec",
    "sen",
    "sept",
    "sgt",
    "sr",
    "st",
    "univ",
    "vol",
    "англ",
    "ген",
    "гл",
    "греч",
    "дер",
    "долл",
    "исп",
    "лат",
    "млн",
    "млрд",
    "нем",
    "обл",
    "ок",
    "пл",
    "полк",
    "пос",
    "руб",
    "рис",
    "стр",
    "трлн",
    "тыс",
    "франц",
    "экз",
    "ст",
    "nr",
    "str",
    "usw",
];

/// After a number they end a sentence when a capital follows, else they are part of a name.
const MEASURES: &[&str] = &[
    "г", "гг", "в", "вв", "ч", "м", "мин", "сек", "км", "кг", "чел", "га",
];

/// Belong to the number behind them.
const NUMBERED: &[&str] = &["no", "p", "с", "тел", "tel", "ум", "род"];

/// Lists that trail off: a capital behind them starts a sentence.
const TRAILS: &[&str] = &["др", "пр", "т.д", "т.п"];

const GERMAN_AFTER_ORDINALS: &[&str] = &[
    "januar",
    "februar",
    "märz",
    "april",
    "mai",
    "juni",
    "juli",
    "august",
    "september",
    "oktober",
    "november",
    "dezember",
    "jahrhundert",
    "jahrhunderts",
];

/// Whether the point between `before` and `after` belongs to an abbreviation, an initial or an
/// ordinal, so that the sentence goes on.
pub(super) fn holds(before: &str, after: &str) -> bool {
    let Some(next) = words(after).next() else {
        return false;
    };
    let token = last_token(before);
    if token.is_empty() {
        return false;
    }
    let lower = normalize(token);
    let single = lower.chars().count() == 1;
    if lower.bytes().all(|byte| byte.is_ascii_digit()) {
        return before.trim() == token
            || GERMAN_AFTER_ORDINALS.contains(&normalize(next.text).as_str());
    }
    // «т. е.», «т. д.» are written with a space as well.
    let mut joined = lower.clone();
    if single {
        let head = before[..before.len() - token.len()].trim_end();
        if head.ends_with("т.") && !head[..head.len() - "т.".len()].ends_with(char::is_alphabetic)
        {
            joined = format!("т.{lower}");
        }
    }
    let capital = next.text.chars().next().is_some_and(char::is_uppercase);
    if ALWAYS.contains(&joined.as_str()) {
        return true;
    }
    if TRAILS.contains(&joined.as_str()) {
        return !capital;
    }
    if token == lower && MEASURES.contains(&token) {
        let counted = |c: char| c.is_ascii_digit() || matches!(c, 'I' | 'V' | 'X' | '/');
        let after_number = before[..before.len() - token.len()]
            .trim_end()
            .ends_with(counted);
        return !(after_number && capital);
    }
    let numbered = NUMBERED.contains(&lower.as_str()) && (token == lower || !single);
    if numbered || (single && token == lower) {
        return next.text.starts_with(|c: char| c.is_ascii_digit());
    }
    let dotted = lower.contains('.') && lower.split('.').all(|part| part.chars().count() == 1);
    if single || dotted || OFTEN.contains(&lower.as_str()) {
        let rest = &after[next.span.end..];
        return !(capital && !rest.starts_with('.') && starts_sentences(next.text));
    }
    false
}

/// What stands before the point, back to white space or an opening mark.
fn last_token(before: &str) -> &str {
    let start = before
        .char_indices()
        .rev()
        .take_while(|(_, c)| c.is_alphanumeric() || *c == '.')
        .last()
        .map_or(before.len(), |(at, _)| at);
    &before[start..]
}

fn starts_sentences(word: &str) -> bool {
    let word = normalize(word);
    STOPWORDS
        .iter()
        .filter(|(language, _)| {
            matches!(
                language,
                Language::En | Language::Ru | Language::De | Language::Fr | Language::Es
            )
        })
        .any(|(_, list)| contains(list, &word))
}
