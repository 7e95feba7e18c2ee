//! Marks of an answer: `[1]`, `[1, 2]`.

use touchstone_types::ByteSpan;

/// Marks that stand together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Where, with the brackets.
    pub span: ByteSpan,
    /// Their numbers.
    pub markers: Vec<usize>,
}

/// Finds the marks of a text.
pub fn marks(text: &str) -> Vec<Group> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find(['[', '【']).map(|offset| at + offset) {
        let close = if text[open..].starts_with('[') {
            ']'
        } else {
            '】'
        };
        let width = text[open..].chars().next().map_or(1, char::len_utf8);
        let inner = &text[open + width..];
        let length = inner.find(close).unwrap_or(0);
        if let Some(markers) = numbers(&inner[..length]) {
            let end = open + width + length + close.len_utf8();
            found.push(Group {
                span: ByteSpan::new(open, end),
                markers,
            });
            at = end;
        } else {
            at = open + width;
        }
    }
    found
}

/// The text without the groups, and without the spaces that stood before them.
pub fn without(text: &str, groups: &[Group]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for group in groups {
        out.push_str(text[at..group.span.start].trim_end_matches(' '));
        at = group.span.end;
    }
    out.push_str(&text[at..]);
    out
}

/// The text with only those marks that `keep` names.
pub fn retain(text: &str, keep: impl Fn(usize) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for group in marks(text) {
        let kept: Vec<String> = group
            .markers
            .iter()
            .filter(|m| keep(**m))
            .map(ToString::to_string)
            .collect();
        let before = &text[at..group.span.start];
        if kept.len() == group.markers.len() {
            out.push_str(&text[at..group.span.end]);
        } else if kept.is_empty() {
            out.push_str(before.trim_end_matches(' '));
        } else {
            out.push_str(before);
            out.extend(["[", &kept.join(", "), "]"]);
        }
        at = group.span.end;
    }
    out.push_str(&text[at..]);
    out
}

fn numbers(inner: &str) -> Option<Vec<usize>> {
    let parts = inner.split(',').map(|part| {
        let part = part.trim().trim_start_matches('^');
        (part.len() <= 4).then(|| part.parse().ok())?
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_single_and_grouped_marks() {
        let found = marks("A [1] b[2, 3] c 【4】 [x] [12345] []");
        let markers: Vec<_> = found.iter().map(|group| group.markers.clone()).collect();
        assert_eq!(markers, [vec![1], vec![2, 3], vec![4]]);
    }

    #[test]
    fn takes_marks_out() {
        let text = "A [1]. B [1, 2] [3]";
        assert_eq!(without(text, &marks(text)), "A. B");
        assert_eq!(retain(text, |marker| marker == 2), "A. B [2]");
        assert_eq!(retain(text, |_| true), text);
    }
}
