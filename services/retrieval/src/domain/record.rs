//! What of a question is recorded.

/// Most characters of a recorded question.
const MAX_CHARS: usize = 200;
/// A word of letters and digits that is this long may be a key.
const KEY_CHARS: usize = 24;
/// What stands for a masked word.
const MASK: &str = "***";

/// A question as it is recorded: lower case, single spaces, cut, without what looks like an
/// address or a key.
pub fn normalised(question: &str) -> String {
    let words = question.split_whitespace().map(|word| {
        if is_private(word) {
            MASK.to_owned()
        } else {
            word.to_lowercase()
        }
    });
    let text = words.collect::<Vec<_>>().join(" ");
    let cut = text.chars().filter(|c| !c.is_control()).take(MAX_CHARS);
    cut.collect::<String>().trim_end().to_owned()
}

fn is_private(word: &str) -> bool {
    let address = word.contains('@') && word.contains('.');
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let phone = digits >= 9
        && word
            .chars()
            .all(|c| c.is_ascii_digit() || "+-().".contains(c));
    let key = word.chars().count() >= KEY_CHARS && (digits > 0 || word.contains("://"));
    address || phone || key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_question_in_other_clothes_is_the_same() {
        assert_eq!(normalised("  How DO\tI\n reset? "), "how do i reset?");
        assert_eq!(normalised("Как ВЕРНУТЬ товар"), "как вернуть товар");
        assert_eq!(normalised(&"ё ".repeat(500)).chars().count(), 199);
    }

    #[test]
    fn addresses_and_keys_are_masked() {
        for (question, recorded) in [
            ("mail from me@example.org today", "mail from *** today"),
            ("key tsk_0123456789abcdef0123456789", "key ***"),
            ("call +49-170-1234567", "call ***"),
            ("see https://host/path?token=x", "see ***"),
            ("version 1.2.3 of rust 2024", "version 1.2.3 of rust 2024"),
            (
                "internationalisation strategies",
                "internationalisation strategies",
            ),
        ] {
            assert_eq!(normalised(question), recorded);
        }
    }
}
