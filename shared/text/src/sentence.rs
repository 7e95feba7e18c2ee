mod abbreviation;
mod block;

use touchstone_types::ByteSpan;

use block::blocks;

/// How far behind an end mark the next word is looked for, in bytes.
const LOOKAHEAD: usize = 96;

/// Splits a text into sentences: ordered, apart from each other, without surrounding white space.
///
/// Every character that is not white space belongs to exactly one sentence. Blank lines, headings,
/// list items and table rows end a sentence; abbreviations, initials, decimals and Russian forms
/// such as «т. е.» and «г.» before a name do not.
pub fn sentences(text: &str) -> Vec<ByteSpan> {
    let mut found = Vec::new();
    for block in blocks(text) {
        split(text, block, &mut found);
    }
    found
}

fn split(text: &str, block: ByteSpan, found: &mut Vec<ByteSpan>) {
    let body = &text[block.start..block.end];
    let mut start = 0;
    let mut chars = body.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if !is_terminator(c) {
            continue;
        }
        let mut end = at + c.len_utf8();
        let mut lone = c == '.';
        while let Some((next, c)) = chars.next_if(|(_, c)| is_terminator(*c)) {
            end = next + c.len_utf8();
            lone = false;
        }
        while let Some((next, c)) = chars.next_if(|(_, c)| is_closer(*c)) {
            end = next + c.len_utf8();
        }
        end += note_mark(&body[end..]);
        let rest = &body[end..];
        // Bounded, so that pages of dots and dashes cost no more than prose.
        let rest = &rest[..rest.floor_char_boundary(LOOKAHEAD)];
        let wide = is_wide_terminator(c);
        if !wide && !rest.chars().next().is_none_or(char::is_whitespace) {
            continue;
        }
        let follows = rest.chars().find(|c| c.is_alphanumeric());
        if !wide && follows.is_some_and(char::is_lowercase) {
            continue;
        }
        if lone && abbreviation::holds(&body[start..at], rest) {
            continue;
        }
        push(text, block, block.start + start, block.start + end, found);
        start = end;
        while chars.next_if(|(next, _)| *next < end).is_some() {}
    }
    push(text, block, block.start + start, block.end, found);
}

/// Adds the sentence between two offsets; marks without a word go with the sentence before them in
/// the same block.
fn push(text: &str, block: ByteSpan, start: usize, end: usize, found: &mut Vec<ByteSpan>) {
    let piece = &text[start..end];
    let trimmed = piece.trim();
    if trimmed.is_empty() {
        return;
    }
    let start = start + (piece.len() - piece.trim_start().len());
    let end = start + trimmed.len();
    if let Some(last) = found.last_mut()
        && last.start >= block.start
        && !trimmed.contains(char::is_alphanumeric)
    {
        last.end = end;
        return;
    }
    found.push(ByteSpan::new(start, end));
}

/// Length of note marks such as `[12]` right after a sentence.
fn note_mark(rest: &str) -> usize {
    let mut taken = 0;
    while let Some(inner) = rest[taken..].strip_prefix('[') {
        match inner.bytes().take(5).position(|byte| byte == b']') {
            Some(close) if inner[..close].bytes().all(|b| b.is_ascii_digit()) => {
                taken += close + 2;
            }
            _ => break,
        }
    }
    taken
}

const fn is_terminator(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '‽' | '؟' | '۔' | '।') || is_wide_terminator(c)
}

const fn is_wide_terminator(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '．')
}

const fn is_closer(c: char) -> bool {
    matches!(
        c,
        ')' | ']' | '}' | '"' | '\'' | '»' | '”' | '“' | '’' | '*' | '_' | '`' | '」' | '』' | '）'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(text: &str) -> Vec<&str> {
        sentences(text)
            .into_iter()
            .map(|span| &text[span.start..span.end])
            .collect()
    }

    #[test]
    fn splits_plain_prose() {
        assert_eq!(
            list("One ends here. Two ends! Is this three? Yes… And four"),
            [
                "One ends here.",
                "Two ends!",
                "Is this three?",
                "Yes…",
                "And four"
            ]
        );
        assert_eq!(
            list("«Стой!» — крикнул он. Все ушли."),
            ["«Стой!» — крикнул он.", "Все ушли."]
        );
        assert_eq!(
            list("He said \"Go.\" Then he left.[12] She stayed."),
            ["He said \"Go.\"", "Then he left.[12]", "She stayed."]
        );
        assert_eq!(
            list("東京は首都です。人口は多い。"),
            ["東京は首都です。", "人口は多い。"]
        );
    }

    #[test]
    fn abbreviations_and_initials_do_not_end_a_sentence() {
        for text in [
            "Dr. Smith met J. K. Rowling at 3.5 p.m. Monday in St. Louis.",
            "The U.S. Government, e.g. NASA, paid approx. 5 mln. dollars.",
            "А. С. Пушкин родился в г. Москве, т. е. в столице.",
            "Население составляет 5 тыс. Человек же мало.",
            "Это, т. е. Москва, им. Ленина, ул. Пушкина, д. 5.",
            "Am 3. Oktober wird gefeiert.",
            "Книга Дж. А. Гобсона (ум. 1940) вышла в Лондоне, тел. 123.",
            "Oxygen is written O\n2 by chemists who know it.",
        ] {
            assert_eq!(list(text), [text]);
        }
    }

    #[test]
    fn ambiguous_abbreviations_end_a_sentence_when_one_starts_behind_them() {
        assert_eq!(list("He moved to the U.S. The rest stayed.").len(), 2);
        assert_eq!(list("Он родился в 1799 г. Учился в лицее.").len(), 2);
        assert_eq!(list("Яблоки, груши и т. д. Всё свежее.").len(), 2);
        assert_eq!(list("It grew in the 1970s. Major changes came.").len(), 2);
        assert_eq!(list("Скорость 1500 об/мин. Ротор вращается.").len(), 2);
        assert_eq!(list("Законы небесных тел. Майкл Фарадей.").len(), 2);
        assert_eq!(list("Верно, что a + b = c. Решение ясно.").len(), 2);
        assert_eq!(
            list("It was accepted. ... Then it was not."),
            ["It was accepted. ...", "Then it was not."]
        );
        assert_eq!(list("They fought World War I. It was long.").len(), 2);
        assert_eq!(list("Apples, pears, etc. All are fresh.").len(), 2);
    }

    #[test]
    fn structure_ends_sentences() {
        assert_eq!(
            list(
                "# Title\nText goes\non here\n\n- first item\n- second item\n1. third\n| a | b |\n"
            ),
            [
                "# Title",
                "Text goes\non here",
                "- first item",
                "- second item",
                "1. third",
                "| a | b |"
            ]
        );
        assert_eq!(
            list("A short title\nThis is the long first line of the text\nthat goes on."),
            [
                "A short title",
                "This is the long first line of the text\nthat goes on."
            ]
        );
    }

    #[test]
    fn pages_of_punctuation_take_linear_time() {
        // A scan to the end of the text at every mark would take hours here.
        for piece in [". ", ".\"\" ", ".[ ", "a. ", "№. — "] {
            let text = piece.repeat(500_000 / piece.len());
            assert!(!sentences(&text).is_empty());
        }
    }

    #[test]
    fn blank_text_has_no_sentences() {
        assert!(list("").is_empty());
        assert!(list(" \n\n\t\r\n").is_empty());
    }

    proptest! {
        #[test]
        fn every_visible_character_is_in_exactly_one_sentence(
            text in "\\PC{0,120}|[a-cA-CаАг0-9 .!?…\n#*\\-|\\[\\]\"»。]{0,120}"
        ) {
            let found = sentences(&text);
            let mut end = 0;
            let mut visible = 0;
            for span in &found {
                prop_assert!(span.start >= end && !span.is_empty());
                let piece = span.of(&text);
                prop_assert!(piece.is_some_and(|piece| piece.trim() == piece));
                visible += piece.unwrap().chars().filter(|c| !c.is_whitespace()).count();
                end = span.end;
            }
            prop_assert_eq!(visible, text.chars().filter(|c| !c.is_whitespace()).count());
        }
    }
}
