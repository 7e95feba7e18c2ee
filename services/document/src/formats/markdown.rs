use pulldown_cmark::{Event, Parser};

use super::output::heading_name;
use super::text::check_size;
use super::{ExtractError, Extracted, Heading, Limits};

/// Longest line that is looked at as a heading, in bytes.
const MAX_HEADING_LINE: usize = 1024;

/// Markdown is its own text; only its headings and its title are found.
///
/// Headings are found line by line, in constant memory, and only a heading's own line goes through
/// the Markdown parser: a parse of the whole file takes 40 bytes of memory per byte of hostile input.
pub(super) fn extract(text: String, limits: Limits) -> Result<Extracted, ExtractError> {
    check_size(&text, limits)?;
    let (front_title, body_start) = front_matter(&text);
    let headings = headings(&text, body_start);
    let title = front_title.or_else(|| {
        headings
            .iter()
            .find(|heading| heading.level == 1)
            .or_else(|| headings.first())
            .map(|heading| heading.text.clone())
    });
    Ok(Extracted {
        text,
        title,
        headings,
        note: None,
    })
}

/// The title in a front matter block, and where the body starts.
fn front_matter(text: &str) -> (Option<String>, usize) {
    let mut lines = lines(text);
    let (assign, fence) = match lines.next().map(|(_, line)| line.trim_end()) {
        Some("---") => (':', "---"),
        Some("+++") => ('=', "+++"),
        _ => return (None, 0),
    };
    let mut title = None;
    for (offset, line) in lines {
        let line = line.trim_end();
        if line == fence || (fence == "---" && line == "...") {
            return (title, offset + line.len());
        }
        if let Some((key, value)) = line.split_once(assign)
            && key.trim_end().eq_ignore_ascii_case("title")
        {
            let value = heading_name(value.trim().trim_matches(['"', '\'']));
            title = Some(value).filter(|value| !value.is_empty());
        }
    }
    (None, 0)
}

fn headings(text: &str, body_start: usize) -> Vec<Heading> {
    let mut found = Vec::new();
    let mut fence: Option<(char, usize)> = None;
    let mut in_comment = false;
    let mut paragraph: Option<(usize, &str)> = None;
    let mut paragraph_lines = 0;
    for (offset, line) in lines(text) {
        if offset < body_start {
            continue;
        }
        let indent = line.len() - line.trim_start_matches(' ').len();
        let content = line.trim();
        if let Some((mark, length)) = fence {
            let run = content.chars().take_while(|c| *c == mark).count();
            if run >= length && content.chars().all(|c| c == mark) {
                fence = None;
            }
            continue;
        }
        if in_comment {
            in_comment = !content.contains("-->");
            continue;
        }
        let starts_block = indent <= 3;
        if starts_block && let Some(opened) = opens_fence(content) {
            fence = Some(opened);
            paragraph = None;
            continue;
        }
        if starts_block && content.starts_with("<!--") && !content.contains("-->") {
            in_comment = true;
            continue;
        }
        if starts_block && let Some((level, name)) = atx(content) {
            push(&mut found, offset + indent, level, name);
            paragraph = None;
            continue;
        }
        if starts_block && let Some(level) = setext(content) {
            if let Some((start, name)) = paragraph.take()
                && paragraph_lines == 1
            {
                push(&mut found, start, level, name);
            }
            continue;
        }
        let is_prose =
            !content.is_empty() && !content.starts_with(['>', '|', '<']) && !is_item(content);
        match paragraph {
            Some(_) if is_prose => paragraph_lines += 1,
            None if is_prose && starts_block && !line.starts_with('\t') => {
                paragraph = Some((offset + indent, content));
                paragraph_lines = 1;
            }
            _ => paragraph = None,
        }
    }
    found
}

fn push(found: &mut Vec<Heading>, offset: usize, level: u8, name: &str) {
    if name.len() > MAX_HEADING_LINE {
        return;
    }
    let text = heading_name(&plain(name));
    if !text.is_empty() {
        found.push(Heading {
            offset,
            level,
            text,
        });
    }
}

/// A heading's words without their markup.
fn plain(name: &str) -> String {
    let mut words = String::new();
    for event in Parser::new(name) {
        match event {
            Event::Text(text) | Event::Code(text) => words.push_str(&text),
            Event::SoftBreak | Event::HardBreak => words.push(' '),
            _ => {}
        }
    }
    if words.trim().is_empty() {
        name.to_owned()
    } else {
        words
    }
}

fn opens_fence(content: &str) -> Option<(char, usize)> {
    let mark = content.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let run = content.chars().take_while(|c| *c == mark).count();
    let info = content.get(run..).unwrap_or_default();
    (run >= 3 && !(mark == '`' && info.contains('`'))).then_some((mark, run))
}

fn atx(content: &str) -> Option<(u8, &str)> {
    let rest = content.trim_start_matches('#');
    let level = u8::try_from(content.len() - rest.len())
        .ok()
        .filter(|level| (1..=6).contains(level))?;
    if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return None;
    }
    let name = rest.trim();
    let closed = name.trim_end_matches('#');
    let name = if closed.is_empty() || closed.ends_with([' ', '\t']) {
        closed.trim_end()
    } else {
        name
    };
    Some((level, name))
}

fn setext(content: &str) -> Option<u8> {
    match content.as_bytes() {
        [b'=', rest @ ..] if rest.iter().all(|byte| *byte == b'=') => Some(1),
        [b'-', b'-', rest @ ..] if rest.iter().all(|byte| *byte == b'-') => Some(2),
        _ => None,
    }
}

fn is_item(content: &str) -> bool {
    let rest = content.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = rest.len() < content.len() && rest.starts_with(['.', ')']);
    let bulleted = ["- ", "* ", "+ "]
        .iter()
        .any(|mark| content.starts_with(mark));
    numbered || bulleted
}

/// Lines with their offsets, without line ends.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut offset = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = offset;
        offset += line.len();
        (start, line.trim_end_matches(['\n', '\r']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(text: &str) -> Vec<(usize, u8, String)> {
        let found = extract(text.to_owned(), Limits::default()).unwrap();
        assert_eq!(found.text, text);
        found
            .headings
            .into_iter()
            .map(|h| (h.offset, h.level, h.text))
            .collect()
    }

    #[test]
    fn finds_headings_with_their_offsets_and_without_markup() {
        let text = "# The **Nile** [river](http://x)\n\ntext\n\n  ## Длина ##\nУстье\n=====\n";
        assert_eq!(
            outline(text),
            [
                (0, 1, "The Nile river".to_owned()),
                (text.find("## Д").unwrap(), 2, "Длина".to_owned()),
                (text.find("Устье").unwrap(), 1, "Устье".to_owned()),
            ]
        );
    }

    #[test]
    fn code_comments_and_lists_hold_no_headings() {
        let text = "```sh\n# not\n```\n~~~~\n# not\n~~~\n~~~~\n<!--\n# not\n-->\n- item\n---\n    # code\n#tag\n####### seven\n";
        assert_eq!(outline(text), []);
    }

    #[test]
    fn front_matter_gives_the_title() {
        let text = "---\ntags: [a]\ntitle: \"Про Нил\"\n---\n# Глава\n";
        let found = extract(text.to_owned(), Limits::default()).unwrap();
        assert_eq!(found.title.as_deref(), Some("Про Нил"));
        assert_eq!(found.headings.len(), 1);
        let found = extract("text\n\n## Only\n".to_owned(), Limits::default()).unwrap();
        assert_eq!(found.title.as_deref(), Some("Only"));
        let found = extract("---\nnot closed\n".to_owned(), Limits::default()).unwrap();
        assert_eq!(found.title, None);
    }

    #[test]
    fn windows_line_ends_do_not_shift_offsets() {
        let text = "one\r\n\r\n# Two\r\nthree\r\n";
        assert_eq!(outline(text), [(7, 1, "Two".to_owned())]);
    }
}
