//! Grows a span by the sentences around it.

use touchstone_text::sentences;
use touchstone_types::ByteSpan;

/// Grows `span` by whole neighbouring sentences, in turn behind and before, to at most `grow_to`
/// bytes.
///
/// A sentence that `span` cuts is completed first. The result always holds `span`; a span that does
/// not lie on character boundaries inside of `text`, or has the size already, comes back as it is.
/// Looks only at the `grow_to` bytes around the span, whatever the size of the text.
pub fn grow(text: &str, span: ByteSpan, grow_to: usize) -> ByteSpan {
    if span.start > span.end || span.of(text).is_none() || span.len() >= grow_to {
        return span;
    }
    let from = text.floor_char_boundary(span.start.saturating_sub(grow_to));
    let to = text.ceil_char_boundary(span.end.saturating_add(grow_to).min(text.len()));
    let window = &text[from..to];
    let around: Vec<ByteSpan> = sentences(window)
        .into_iter()
        .map(|s| ByteSpan::new(s.start + from, s.end + from))
        // What the window's edge cuts is no sentence; it would not fit anyway.
        .filter(|s| (s.start > from || from == 0) && (s.end < to || to == text.len()))
        .collect();
    let mut grown = span;
    let mut before = around.partition_point(|s| s.end <= span.start);
    let mut behind = around.partition_point(|s| s.start < span.end);
    for sentence in around.get(before..behind).unwrap_or_default() {
        widen(&mut grown, *sentence, grow_to);
    }
    let (mut may_follow, mut may_precede) = (true, true);
    while may_follow || may_precede {
        may_follow = may_follow
            && around
                .get(behind)
                .is_some_and(|sentence| widen(&mut grown, *sentence, grow_to));
        behind += usize::from(may_follow);
        may_precede = may_precede
            && before
                .checked_sub(1)
                .and_then(|at| around.get(at))
                .is_some_and(|sentence| widen(&mut grown, *sentence, grow_to));
        before -= usize::from(may_precede);
    }
    grown
}

/// Takes the sentence in, if that stays within the limit.
fn widen(grown: &mut ByteSpan, sentence: ByteSpan, limit: usize) -> bool {
    let wider = ByteSpan::new(grown.start.min(sentence.start), grown.end.max(sentence.end));
    let fits = wider.len() <= limit;
    if fits {
        *grown = wider;
    }
    fits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "One is here. Two is here. Три тут стоит. Four is here. Five is here.";

    fn grown(quote: &str, to: usize) -> &'static str {
        let start = TEXT.find(quote).unwrap();
        grow(TEXT, ByteSpan::new(start, start + quote.len()), to)
            .of(TEXT)
            .unwrap()
    }

    #[test]
    fn takes_whole_sentences_behind_and_before_in_turn() {
        assert_eq!(grown("Три тут стоит.", 0), "Три тут стоит.");
        assert_eq!(grown("Три тут стоит.", 40), "Три тут стоит. Four is here.");
        assert_eq!(
            grown("Три тут стоит.", 55),
            "Two is here. Три тут стоит. Four is here."
        );
        assert_eq!(grown("Три тут стоит.", 1000), TEXT);
        assert_eq!(grown("Five", 30), "Four is here. Five is here.");
    }

    #[test]
    fn completes_the_sentence_that_it_cuts() {
        assert_eq!(grown("тут", 26), "Три тут стоит.");
        assert_eq!(grown("тут", 10), "тут");
    }

    #[test]
    fn leaves_broken_spans_alone() {
        for (start, end) in [(0, 1000), (27, 28), (1000, 1001)] {
            let span = ByteSpan { start, end };
            assert_eq!(grow(TEXT, span, 500), span);
        }
    }

    proptest! {
        #[test]
        fn holds_the_span_stays_in_bounds_and_on_characters(
            text in "([a-cА-Г ]{1,8}[.!?\n ]{1,2}|\\PC{0,6}){0,30}",
            a in 0_usize..200, b in 0_usize..200, to in 0_usize..300,
        ) {
            let a = text.floor_char_boundary(a.min(text.len()));
            let b = text.floor_char_boundary(b.min(text.len()));
            let span = ByteSpan::new(a.min(b), a.max(b));
            let grown = grow(&text, span, to);
            prop_assert!(grown.of(&text).is_some());
            prop_assert!(grown.start <= span.start && grown.end >= span.end);
            prop_assert!(grown.len() <= to.max(span.len()));
        }
    }
}
