//! Counting tokens without a tokenizer, and cutting a text into pieces as a model would send it.

/// Characters of a piece.
const PIECE_CHARS: usize = 6;

/// Cuts a text into token-like pieces: spaces go with the word behind them, long words are cut.
/// The pieces put together are the text.
pub fn pieces(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut chars, mut in_word) = (0, 0, false);
    for (at, c) in text.char_indices() {
        let ends = in_word && c.is_whitespace() || chars >= PIECE_CHARS;
        if ends {
            found.push(&text[start..at]);
            (start, chars) = (at, 0);
        }
        in_word = !c.is_whitespace();
        chars += 1;
    }
    if start < text.len() {
        found.push(&text[start..]);
    }
    found
}

/// About how many tokens a text has.
pub fn estimate(text: &str) -> u32 {
    u32::try_from(pieces(text).len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_carry_their_space() {
        assert_eq!(
            pieces("The quick  extraordinary fox\n"),
            ["The", " quick", "  extr", "aordin", "ary", " fox", "\n"]
        );
        assert_eq!(estimate(""), 0);
    }

    proptest! {
        #[test]
        fn pieces_put_together_are_the_text(text in "\\PC{0,80}") {
            prop_assert_eq!(pieces(&text).concat(), text);
        }
    }
}
