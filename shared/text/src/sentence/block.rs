use touchstone_types::ByteSpan;

/// A first line shorter than this share of the next one, without an end mark, is a title.
const TITLE_SHARE: (usize, usize) = (3, 5);

/// Longest title.
const TITLE_CHARS: usize = 100;

/// Pieces of a text that no sentence crosses: paragraphs, headings, list items, table rows.
pub(super) fn blocks(text: &str) -> Vec<ByteSpan> {
    let mut found = Vec::new();
    let mut open: Option<ByteSpan> = None;
    let lines: Vec<ByteSpan> = lines(text).collect();
    for (at, line) in lines.iter().enumerate() {
        let kind = kind(&text[line.start..line.end]);
        if matches!(kind, Kind::Blank | Kind::Item | Kind::Alone) {
            found.extend(open.take());
        }
        match kind {
            Kind::Blank => {}
            Kind::Alone => found.push(*line),
            Kind::Item => open = Some(*line),
            Kind::Prose => {
                let first = open.is_none();
                let block = open.get_or_insert(*line);
                block.end = line.end;
                if first && is_title(text, *line, lines.get(at + 1)) {
                    found.extend(open.take());
                }
            }
        }
    }
    found.extend(open);
    found
}

enum Kind {
    Blank,
    Item,
    Alone,
    Prose,
}

fn kind(line: &str) -> Kind {
    let line = line.trim();
    let Some(first) = line.chars().next() else {
        return Kind::Blank;
    };
    if first == '|'
        || line
            .chars()
            .all(|c| matches!(c, '-' | '=' | '*' | '_' | '#' | '~'))
    {
        return Kind::Alone;
    }
    if first == '#' {
        let rest = line.trim_start_matches('#');
        return if rest.starts_with([' ', '\t']) && line.len() - rest.len() <= 6 {
            Kind::Alone
        } else {
            Kind::Prose
        };
    }
    if matches!(first, '-' | '*' | '+' | '•' | '–' | '—' | '·' | '▪') {
        let rest = &line[first.len_utf8()..];
        return if rest.starts_with([' ', '\t']) {
            Kind::Item
        } else {
            Kind::Prose
        };
    }
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = line.len() - rest.len();
    if (1..=3).contains(&digits)
        && rest
            .strip_prefix(['.', ')'])
            .is_some_and(|rest| rest.starts_with([' ', '\t']))
    {
        return Kind::Item;
    }
    Kind::Prose
}

fn is_title(text: &str, line: ByteSpan, next: Option<&ByteSpan>) -> bool {
    let Some(next) = next.map(|next| text[next.start..next.end].trim()) else {
        return false;
    };
    let line = text[line.start..line.end].trim();
    let (share, of) = TITLE_SHARE;
    line.chars().next_back().is_some_and(char::is_alphanumeric)
        && next.chars().next().is_some_and(char::is_uppercase)
        && line.chars().count() <= TITLE_CHARS
        && line.len() * of < next.len() * share
}

/// Lines without their ends; `\n`, `\r\n`, `\r`, form feed and the Unicode separators end one.
fn lines(text: &str) -> impl Iterator<Item = ByteSpan> + '_ {
    let mut at = 0;
    let ends = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    std::iter::from_fn(move || {
        let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
        let start = at;
        let length = rest.find(ends).unwrap_or(rest.len());
        let end = start + length;
        let tail = &text[end..];
        at = end
            + if tail.starts_with("\r\n") {
                2
            } else {
                tail.chars().next().map_or(0, char::len_utf8)
            };
        Some(ByteSpan::new(start, end))
    })
}
