//! Takes the teeth out of model output while it streams: no images, no links, no raw HTML, no
//! script addresses, no control characters. Link texts stay; what only looks dangerous is bent.
//!
//! Works character by character, so the result does not depend on how the text was cut.

/// Most characters of a link's address that are held back; past it the text goes on as text.
const MAX_ADDRESS_CHARS: usize = 2_000;
/// Schemes that run code.
const SCHEMES: [&str; 3] = ["javascript:", "vbscript:", "data:text/html"];

/// State between pieces of a stream.
#[derive(Clone, Debug, Default)]
pub struct Sanitizer {
    state: State,
    /// The end of the text so far that may be the beginning of a scheme, lower case and as it is.
    scheme: String,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Text,
    /// After that many `!`.
    Bang(usize),
    /// After `]`.
    Bracket,
    /// After `<`.
    Angle,
    /// Inside `](…`, with the depth of parentheses and the characters seen.
    Address(usize, usize),
    /// After an address that was dropped.
    Closed,
}

impl Sanitizer {
    /// Takes a piece, gives what is safe to show so far.
    pub fn push(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            self.step(c, &mut out);
        }
        out
    }

    /// Gives what was held back.
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        match std::mem::take(&mut self.state) {
            State::Text | State::Address(..) | State::Closed => {}
            State::Bang(count) => (0..count).for_each(|_| self.emit('!', &mut out)),
            State::Bracket => self.emit(']', &mut out),
            State::Angle => self.emit('<', &mut out),
        }
        out.push_str(&std::mem::take(&mut self.scheme));
        out
    }

    fn step(&mut self, c: char, out: &mut String) {
        if is_hidden(c) {
            return;
        }
        match std::mem::take(&mut self.state) {
            State::Bang(_) if c == '[' => self.text(c, out),
            State::Bang(count) if c == '!' => self.state = State::Bang(count + 1),
            State::Bang(count) => {
                (0..count).for_each(|_| self.emit('!', out));
                self.text(c, out);
            }
            State::Closed if c == '(' => self.state = State::Address(1, 0),
            State::Text | State::Closed => self.text(c, out),
            State::Bracket if c == '(' => {
                self.emit(']', out);
                self.state = State::Address(1, 0);
            }
            State::Bracket => {
                self.emit(']', out);
                self.text(c, out);
            }
            State::Angle => {
                let opens_tag = c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?');
                self.emit(if opens_tag { '\u{2039}' } else { '<' }, out);
                self.text(c, out);
            }
            State::Address(depth, seen) => {
                let depth = match c {
                    '(' => depth + 1,
                    ')' => depth - 1,
                    _ => depth,
                };
                self.state = if depth > 0 && seen < MAX_ADDRESS_CHARS {
                    State::Address(depth, seen + 1)
                } else {
                    State::Closed
                };
            }
        }
    }

    fn text(&mut self, c: char, out: &mut String) {
        match c {
            '!' => self.state = State::Bang(1),
            ']' => self.state = State::Bracket,
            '<' => self.state = State::Angle,
            _ => self.emit(c, out),
        }
    }

    /// Passes a character on, unless a scheme may be beginning.
    fn emit(&mut self, c: char, out: &mut String) {
        self.scheme.push(c);
        loop {
            let lower = self.scheme.to_ascii_lowercase();
            if SCHEMES.contains(&lower.as_str()) {
                out.push_str(&self.scheme.replace(':', "\u{2236}"));
                self.scheme.clear();
                return;
            }
            if SCHEMES.iter().any(|scheme| scheme.starts_with(&lower)) {
                return;
            }
            let Some(first) = self.scheme.chars().next() else {
                return;
            };
            out.push(first);
            self.scheme.drain(..first.len_utf8());
        }
    }
}

/// Cleans a whole text.
pub fn clean(text: &str) -> String {
    let mut sanitizer = Sanitizer::default();
    let mut out = sanitizer.push(text);
    out.push_str(&sanitizer.finish());
    out
}

/// Control characters but line breaks and tabs, and those that turn the direction of writing.
fn is_hidden(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn removes_what_a_page_would_load_or_run() {
        for (dirty, expected) in [
            ("a ![x](http://evil/?q=1) b", "a [x] b"),
            ("see [here](javascript:alert(1)) now", "see [here] now"),
            ("mark [1](http://evil)", "mark [1]"),
            ("![x][ref]\n[ref]: x", "[x][ref]\n[ref]: x"),
            ("<img src=x onerror=y>", "\u{2039}img src=x onerror=y>"),
            ("a < b <3 </script>", "a < b <3 \u{2039}/script>"),
            ("JavaScript:alert(1)", "JavaScript\u{2236}alert(1)"),
            ("jajavascript:vascript:x", "jajavascript\u{2236}vascript:x"),
            ("a !![b](c)(d)[e]", "a [b][e]"),
            ("java and data: fine!", "java and data: fine!"),
            ("Wow! [1]", "Wow! [1]"),
            ("open ](http://evil", "open ]"),
            ("a\u{0}b\u{202e}c\td", "abc\td"),
        ] {
            assert_eq!(clean(dirty), expected);
        }
    }

    proptest! {
        #[test]
        fn does_not_depend_on_how_the_text_is_cut(
            text in "(!|\\[|\\]|\\(|\\)|<|javascript:|[a-z ]|ё){0,40}", cut in 0_usize..60
        ) {
            let cut = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let mut sanitizer = Sanitizer::default();
            let mut parts = sanitizer.push(&text[..cut]);
            parts.push_str(&sanitizer.push(&text[cut..]));
            parts.push_str(&sanitizer.finish());
            prop_assert_eq!(parts, clean(&text));
        }

        #[test]
        fn nothing_loads_or_runs(text in "(!|\\[|\\]|\\(|\\)|<|/|img|java|script:|javascript:|[a-z ]){0,40}") {
            let safe = clean(&text);
            prop_assert!(!safe.contains("](") && !safe.contains("![") && !safe.contains("<img"));
            prop_assert!(!safe.to_ascii_lowercase().contains("javascript:"));
        }
    }
}
