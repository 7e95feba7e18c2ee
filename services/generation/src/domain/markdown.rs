//! What of a sentence is Markdown's and not the author's words.

use touchstone_types::ByteSpan;

/// The sentence without the marks of quotes, bullets and numbers that it begins with, and whether
/// it is a heading.
pub fn bare(span: ByteSpan, text: &str) -> (ByteSpan, bool) {
    let mut rest = span.of(text).unwrap_or_default();
    let line = text.get(..span.start).unwrap_or_default();
    let begins_line = line.trim_end_matches([' ', '\t']).ends_with('\n') || line.trim().is_empty();
    if begins_line {
        while let Some(after) = after_mark(rest) {
            rest = after;
        }
    }
    let bare = ByteSpan::new(span.end - rest.len(), span.end);
    (bare, begins_line && is_heading(rest))
}

/// Up to six `#` and a space.
fn is_heading(sentence: &str) -> bool {
    let rest = sentence.trim_start_matches('#');
    (1..=6).contains(&(sentence.len() - rest.len())) && rest.starts_with([' ', '\t'])
}

fn after_mark(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(['-', '*', '+', '•', '>']).or_else(|| {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        // A longer number is a year.
        let number = text.get(digits..).filter(|_| (1..=3).contains(&digits));
        number?.strip_prefix(['.', ')'])
    })?;
    let body = rest.trim_start();
    (body.len() < rest.len() && !body.is_empty()).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, start: usize) -> (&str, bool) {
        let (span, is_heading) = bare(ByteSpan::new(start, text.len()), text);
        (span.of(text).unwrap(), is_heading)
    }

    #[test]
    fn marks_of_lists_and_quotes_are_not_part_of_a_sentence() {
        for (text, bare) in [
            ("- Roll back first.", "Roll back first."),
            ("> * Roll back first.", "Roll back first."),
            ("2) Roll back first.", "Roll back first."),
            ("12. Сначала откатите.", "Сначала откатите."),
            ("• Сначала откатите.", "Сначала откатите."),
            ("-5 degrees were measured.", "-5 degrees were measured."),
            ("1942. The war goes on.", "1942. The war goes on."),
            ("3.5 percent", "3.5 percent"),
            ("- ", "- "),
            ("**Bold** words.", "**Bold** words."),
        ] {
            assert_eq!(words(text, 0), (bare, false));
        }
    }

    #[test]
    fn marks_stand_only_where_a_line_begins() {
        let text = "It ended. - That was all.";
        assert_eq!(words(text, 10), ("- That was all.", false));
        let text = "It ended.\n  - That was all.";
        assert_eq!(words(text, 12), ("That was all.", false));
    }

    #[test]
    fn headings_are_hashes_and_a_space() {
        assert_eq!(words("### Fines", 0), ("### Fines", true));
        assert_eq!(words("> ## Пени", 0), ("## Пени", true));
        assert_eq!(words("#1 of the list", 0), ("#1 of the list", false));
        assert_eq!(words("####### seven", 0), ("####### seven", false));
        assert_eq!(words("See # sign", 4), ("# sign", false));
    }
}
