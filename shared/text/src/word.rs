use touchstone_types::ByteSpan;

/// A word where it stands in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Word<'a> {
    /// Its place.
    pub span: ByteSpan,
    /// Exactly those bytes.
    pub text: &'a str,
}

/// Finds the words of a text, in order.
///
/// A word is a run of letters, digits and combining marks. An apostrophe between letters and a
/// point or comma between digits belong to it (`don't`, `6,650`, `3.14`); a hyphen does not.
/// Scripts without spaces (Han, kana, Thai …) give a word per character.
pub fn words(text: &str) -> Words<'_> {
    Words { text, at: 0 }
}

/// Iterator over the words of a text; see [`words`].
#[derive(Clone, Debug)]
pub struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let start = self.next_start()?;
        let end = self.end_of_word(start);
        self.at = end;
        Some(Word {
            span: ByteSpan::new(start, end),
            text: &self.text[start..end],
        })
    }
}

impl Words<'_> {
    /// Where the next word starts.
    fn next_start(&self) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        loop {
            let byte = *bytes.get(at)?;
            if byte.is_ascii() {
                if byte.is_ascii_alphanumeric() {
                    return Some(at);
                }
                at += 1;
            } else {
                let c = self.char_at(at)?;
                if is_word(c) {
                    return Some(at);
                }
                at += c.len_utf8();
            }
        }
    }

    fn end_of_word(&self, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut end = start;
        let mut previous = '\0';
        while let Some(byte) = bytes.get(end) {
            if byte.is_ascii_alphanumeric() {
                previous = char::from(*byte);
                end += 1;
                continue;
            }
            let Some(c) = self.char_at(end) else { break };
            if is_solitary(c) {
                return if end == start {
                    end + c.len_utf8()
                } else {
                    end
                };
            }
            if is_word(c) {
                previous = c;
                end += c.len_utf8();
                continue;
            }
            if !self.joins(previous, c, end) {
                break;
            }
            end += c.len_utf8();
        }
        end
    }

    /// Whether the character at `at` holds a word together though it is no part of words.
    fn joins(&self, before: char, c: char, at: usize) -> bool {
        if !matches!(c, '\'' | '\u{2019}' | '\u{2bc}' | '.' | ',' | '\u{ad}') {
            return false;
        }
        let Some(after) = self.char_at(at + c.len_utf8()) else {
            return false;
        };
        match c {
            '.' | ',' => before.is_ascii_digit() && after.is_ascii_digit(),
            '\u{ad}' => is_word(after) && !is_solitary(after),
            _ => before.is_alphabetic() && after.is_alphabetic() && !is_solitary(after),
        }
    }

    fn char_at(&self, at: usize) -> Option<char> {
        self.text.get(at..)?.chars().next()
    }
}

/// Whether a character can be part of a word.
#[inline]
pub(crate) fn is_word(c: char) -> bool {
    match c {
        '\0'..='\x7f' => c.is_ascii_alphanumeric(),
        '\u{c0}'..='\u{24f}' => !matches!(c, '×' | '÷'),
        '\u{400}'..='\u{481}' => true,
        // General punctuation: dashes, quotation marks, ellipsis.
        '\u{2000}'..='\u{206f}' => false,
        _ => c.is_alphanumeric() || is_mark(c),
    }
}

fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' |
        '\u{64b}'..='\u{65f}' | '\u{900}'..='\u{903}' | '\u{93a}'..='\u{94f}' |
        '\u{b82}' | '\u{bbe}'..='\u{bcd}' | '\u{e31}' | '\u{e34}'..='\u{e3a}' |
        '\u{e47}'..='\u{e4e}')
}

/// Characters of scripts that put no space between words.
pub(crate) const fn is_solitary(c: char) -> bool {
    matches!(c,
        '\u{e01}'..='\u{e30}' | '\u{e32}'..='\u{e33}' | '\u{e40}'..='\u{e46}' |
        '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' |
        '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{2fa1f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(text: &str) -> Vec<&str> {
        words(text).map(|word| word.text).collect()
    }

    #[test]
    fn keeps_apostrophes_and_numbers_together() {
        assert_eq!(
            list("Don't pay 6,650.50, pay 3.14!"),
            ["Don't", "pay", "6,650.50", "pay", "3.14"]
        );
        assert_eq!(
            list("'quoted' a.b well-known"),
            ["quoted", "a", "b", "well", "known"]
        );
        assert_eq!(
            list("Санкт-Петербург, 1703г."),
            ["Санкт", "Петербург", "1703г"]
        );
    }

    #[test]
    fn gives_ideographs_one_by_one() {
        assert_eq!(list("東京 tower塔"), ["東", "京", "tower", "塔"]);
    }

    #[test]
    fn finds_nothing_in_blank_text() {
        assert!(list(" \n\t—…!").is_empty());
        assert!(list("").is_empty());
    }

    proptest! {
        #[test]
        fn words_are_ordered_and_cover_every_letter(text in "\\PC{0,80}|[a-zа-я0-9 .,'’\\-\u{ad}\n東]{0,80}") {
            let mut covered = vec![false; text.len()];
            let mut end = 0;
            for word in words(&text) {
                prop_assert!(word.span.start >= end && !word.span.is_empty());
                prop_assert_eq!(word.span.of(&text), Some(word.text));
                covered[word.span.start..word.span.end].fill(true);
                end = word.span.end;
            }
            for (at, c) in text.char_indices() {
                prop_assert!(!is_word(c) || covered[at]);
            }
        }
    }
}
