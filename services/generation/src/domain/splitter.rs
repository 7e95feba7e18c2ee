//! Cuts a stream of text into claims: sentences together with the marks behind them.

use touchstone_text::sentences;

/// Longest text that waits for its end; past it the claim is cut where it stands.
const MAX_CLAIM_BYTES: usize = 4_000;

/// Without one of these no sentence has ended within a line.
const ENDS: [char; 11] = ['.', '!', '?', '…', '‽', '؟', '۔', '।', '。', '！', '？'];

/// A stream's text up to where its sentences are certain.
///
/// The cuts do not depend on how the stream was cut into pieces: they are looked for only at
/// white space, over the same text.
#[derive(Clone, Debug, Default)]
pub struct Splitter {
    buffer: String,
}

/// A sentence of the stream with its marks and the white space around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Exactly the stream's bytes.
    pub text: String,
    /// Whether a line ends with it.
    pub ends_line: bool,
}

impl Splitter {
    /// Takes more of the stream, gives the sentences that it completes.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for c in text.chars() {
            self.buffer.push(c);
            if c == '\n' || self.buffer.len() >= MAX_CLAIM_BYTES {
                self.drain(&mut pieces);
            } else if c.is_whitespace() && self.buffer.contains(ENDS) {
                self.cut(&mut pieces);
            }
        }
        pieces
    }

    /// Gives the rest.
    pub fn finish(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        self.drain(&mut pieces);
        pieces
    }

    /// Takes the sentences that have another one, with a whole word, behind them.
    fn cut(&mut self, pieces: &mut Vec<Piece>) {
        let cuts = boundaries(&self.buffer);
        let certain = cuts.iter().copied().filter(|cut| {
            let rest = self.buffer[*cut..].trim_start();
            rest.find(char::is_whitespace).is_some_and(|at| at > 0)
        });
        let Some(last) = certain.max() else { return };
        let mut start = 0;
        for cut in cuts.into_iter().filter(|cut| *cut <= last) {
            pieces.push(Piece {
                text: self.buffer[start..cut].to_owned(),
                ends_line: false,
            });
            start = cut;
        }
        self.buffer.drain(..start);
    }

    fn drain(&mut self, pieces: &mut Vec<Piece>) {
        let text = std::mem::take(&mut self.buffer);
        let mut start = 0;
        for cut in boundaries(&text) {
            pieces.push(Piece {
                text: text[start..cut].to_owned(),
                ends_line: false,
            });
            start = cut;
        }
        if start < text.len() {
            pieces.push(Piece {
                text: text[start..].to_owned(),
                ends_line: true,
            });
        }
    }
}

/// Where sentences begin, but for the first one. Marks belong to the sentence before them.
fn boundaries(text: &str) -> Vec<usize> {
    let mut cuts: Vec<usize> = sentences(text)
        .into_iter()
        .skip(1)
        .map(|span| span.start)
        .collect();
    cuts.extend(after_marks(text));
    let mut found: Vec<usize> = Vec::with_capacity(cuts.len());
    for cut in cuts {
        let behind = cut + marks_at(&text[cut..]);
        // A sentence that is nothing but marks is no sentence.
        let is_blank = text[behind..].trim().is_empty() || text[..cut].trim().is_empty();
        if !is_blank && !is_open_mark(&text[behind..]) {
            found.push(behind);
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Ends of mark groups that stand behind a sentence's end: `done.[1] Next`, `done. [1] Next`.
fn after_marks(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find('[').map(|offset| at + offset) {
        let length = marks_at(&text[open..]);
        let before = text[..open].trim_end();
        let ends = before.ends_with(['.', '!', '?', '…'])
            || before
                .trim_end_matches(['"', '”', '»', '’', ')'])
                .ends_with(['.', '!', '?', '…']);
        let next = text[open + length..].chars().next();
        let spaced = text[..open + length].ends_with(char::is_whitespace);
        if length > 0 && ends && spaced && next.is_some_and(|c| !c.is_lowercase()) {
            found.push(open + length);
        }
        at = open + length.max(1);
    }
    found
}

/// Whether the text may become a mark: an opening bracket and nothing but numbers behind it.
fn is_open_mark(text: &str) -> bool {
    text.strip_prefix('[').is_some_and(|inner| {
        inner
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b',' | b' '))
    })
}

/// Length of the marks that a text begins with, with the white space behind them.
fn marks_at(text: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let Some(inner) = rest.strip_prefix('[') else {
            return at;
        };
        let digits = inner
            .bytes()
            .take_while(|b| b.is_ascii_digit() || matches!(b, b',' | b' '))
            .count();
        let holds_digit = inner.as_bytes()[..digits].iter().any(u8::is_ascii_digit);
        if !holds_digit || !inner[digits..].starts_with(']') {
            return at;
        }
        at += digits + 2;
        let behind = &text[at..];
        let stop = usize::from(behind.starts_with(['.', ',', ';']));
        let gap = behind[stop..].len() - behind[stop..].trim_start_matches([' ', '\t']).len();
        at += if gap > 0 || behind[stop..].starts_with('[') || behind[stop..].is_empty() {
            stop + gap
        } else {
            0
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &str) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut pieces = splitter.push(text);
        pieces.extend(splitter.finish());
        pieces.into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn marks_belong_to_the_sentence_before_them() {
        assert_eq!(
            split("A cat sat [1]. A dog ran. [2] [3] It rained.[4] The end."),
            [
                "A cat sat [1]. ",
                "A dog ran. [2] [3] ",
                "It rained.[4] ",
                "The end."
            ]
        );
        assert_eq!(
            split("One [1] and two [2]. Three"),
            ["One [1] and two [2]. ", "Three"]
        );
        assert_eq!(
            split("Он жил там. [1, 2] Потом уехал.\nСтрока"),
            ["Он жил там. [1, 2] ", "Потом уехал.\n", "Строка"]
        );
    }

    #[test]
    fn a_sentence_is_given_when_the_next_one_has_begun() {
        let mut splitter = Splitter::default();
        assert!(splitter.push("It is so [1].").is_empty());
        assert!(splitter.push(" And").is_empty());
        let pieces = splitter.push(" then");
        assert_eq!(
            pieces,
            [Piece {
                text: "It is so [1]. ".into(),
                ends_line: false
            }]
        );
        assert_eq!(splitter.finish()[0].text, "And then");
    }

    proptest! {
        #[test]
        fn cuts_do_not_depend_on_the_pieces_and_lose_nothing(
            text in "([A-Z][a-z]{0,4}|[а-я]{1,4}|\\.|!| |\n|\\[1\\]|\\[2, 3\\]|\"|т\\. е\\.|Mr\\.){0,40}",
            cut in 0_usize..80,
        ) {
            let cut = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let mut splitter = Splitter::default();
            let mut pieces = splitter.push(&text[..cut]);
            pieces.extend(splitter.push(&text[cut..]));
            pieces.extend(splitter.finish());
            let texts: Vec<String> = pieces.into_iter().map(|piece| piece.text).collect();
            prop_assert_eq!(&texts, &split(&text));
            prop_assert_eq!(texts.concat(), text);
        }
    }
}
