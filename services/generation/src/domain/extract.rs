//! Answers made of the context's own sentences.

use touchstone_text::sentences;
use touchstone_types::ByteSpan;

use super::markdown;
use super::passage::Passage;
use super::rank::{Ranked, rank};

/// How many sentences, and how sure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Most sentences of an answer.
    pub max_sentences: usize,
    /// Least share ([`Ranked::share`]) of a sentence after the first.
    pub min_share: f64,
    /// Below this confidence of the first sentence there is no answer.
    pub min_confidence: f64,
}

/// The sentences that answer a question, best first; none below the confidence.
pub fn extract(question: &str, passages: &[Passage], limits: Limits) -> Vec<Ranked> {
    let ranked = rank(question, passages);
    let sure = ranked
        .first()
        .is_some_and(|best| best.confidence >= limits.min_confidence);
    if !sure {
        return Vec::new();
    }
    let mut chosen: Vec<Ranked> = Vec::new();
    for sentence in ranked {
        if chosen.len() >= limits.max_sentences {
            break;
        }
        let is_first = chosen.is_empty();
        let text = |r: &Ranked| r.span.of(&passages[r.passage].text).unwrap_or_default();
        let repeats = chosen.iter().any(|other| text(other) == text(&sentence));
        if (is_first || sentence.share >= limits.min_share) && !repeats {
            chosen.push(sentence);
        }
    }
    chosen
}

/// The answer's text: a sentence a line, each with its mark.
pub fn write(sentences: &[Ranked], passages: &[Passage]) -> String {
    let lines = sentences.iter().map(|sentence| {
        let passage = &passages[sentence.passage];
        let text = sentence.span.of(&passage.text).unwrap_or_default();
        format!("{} [{}]", flatten(text), passage.marker)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The first sentences of the passages, for an answer without a language model.
pub fn write_passages(intro: &str, passages: &[Passage], most: usize) -> String {
    let mut lines = vec![intro.to_owned()];
    for passage in passages.iter().take(most) {
        let mut bare = sentences(&passage.text)
            .into_iter()
            .map(|span| markdown::bare(span, &passage.text));
        let first = bare.find(|(_, is_heading)| !is_heading);
        let whole = ByteSpan::new(0, passage.text.len());
        let span = first.map_or(whole, |(span, _)| span);
        let text = span.of(&passage.text).unwrap_or_default();
        lines.push(format!("{} [{}]", flatten(text), passage.marker));
    }
    lines.join("\n")
}

/// One line, without footnote numbers in brackets, which would read as marks.
pub fn flatten(text: &str) -> String {
    let mut flat = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let digits = rest[open + 1..]
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        let is_footnote = digits > 0 && rest[open + 1 + digits..].starts_with(']');
        let keep = if is_footnote { open } else { open + 1 };
        flat.push_str(&rest[..keep]);
        rest = &rest[if is_footnote {
            open + digits + 2
        } else {
            open + 1
        }..];
    }
    flat.push_str(rest);
    flat.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passages_are_shown_by_their_first_words_behind_headings() {
        let passages = crate::domain::gate::sample::passages(&["# Fines\n\n- One rouble a day."]);
        assert_eq!(
            write_passages("See:", &passages, 3),
            "See:\nOne rouble a day. [1]"
        );
    }

    #[test]
    fn flattening_drops_line_breaks_and_footnotes() {
        assert_eq!(
            flatten("It began\nin 1914.[4] See [a] and x[0"),
            "It began in 1914. See [a] and x[0"
        );
    }
}
