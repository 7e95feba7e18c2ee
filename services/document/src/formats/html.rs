mod elements;

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

use self::elements::{
    ends_by_sibling, heading_level, hides, is_block, is_container, is_foreign_self_closing,
    is_navigation, is_void, raw_kind,
};
use super::output::{Output, heading_name};
use super::{ExtractError, Extracted, Limits};

/// What a reader sees of a page: blocks as paragraphs, rows as lines, headings and title.
///
/// Works on the tokens, without a tree: depth costs neither stack nor memory, and a page of a
/// hundred thousand nested elements is as cheap as a flat one. Scripts, styles, navigation, footers
/// and hidden elements are left out. A `nav` or `footer` that never ends would swallow the page;
/// such a page is read again with them.
pub(super) fn extract(html: &str, limits: Limits) -> Result<Extracted, ExtractError> {
    let first = run(html, limits, true)?;
    match first {
        (page, false) => page,
        (_, true) => run(html, limits, false)?.0,
    }
}

type Page = (Result<Extracted, ExtractError>, bool);

fn run(html: &str, limits: Limits, skip_navigation: bool) -> Result<Page, ExtractError> {
    let reader = Reader {
        output: Output::new(html.len(), limits),
        title: String::new(),
        in_title: false,
        skip: None,
        skip_navigation,
        pre: 0,
        cells: 0,
        failure: None,
    };
    let tokenizer = Tokenizer::new(Sink(RefCell::new(reader)), TokenizerOpts::default());
    let queue = BufferQueue::default();
    for piece in pieces(html) {
        queue.push_back(StrTendril::from_slice(piece));
        let _ = tokenizer.feed(&queue);
        if let Some(failure) = tokenizer.sink.0.borrow_mut().failure.take() {
            return Err(failure);
        }
    }
    tokenizer.end();
    let mut reader = tokenizer.sink.0.into_inner();
    if let Some(failure) = reader.failure.take() {
        return Err(failure);
    }
    let swallowed = reader
        .skip
        .as_ref()
        .is_some_and(|skip| is_navigation(&skip.name));
    let title = heading_name(&reader.title);
    Ok((reader.output.finish(Some(title)), swallowed))
}

/// Pieces of bounded size: the buffer counts in 32 bits, and failures are looked at in between.
fn pieces(html: &str) -> impl Iterator<Item = &str> {
    const PIECE: usize = 256 * 1024;
    let mut rest = html;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, tail) = rest.split_at(rest.floor_char_boundary(PIECE.min(rest.len())));
        rest = tail;
        Some(piece)
    })
}

struct Sink(RefCell<Reader>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut reader = self.0.borrow_mut();
        if reader.failure.is_some() {
            return TokenSinkResult::Continue;
        }
        let outcome = match token {
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => reader.start(&tag),
            Token::TagToken(tag) => reader.end(&tag.name),
            Token::CharacterTokens(text) => reader.text(&text),
            _ => return TokenSinkResult::Continue,
        };
        match outcome {
            Ok(Some(raw)) => TokenSinkResult::RawData(raw),
            Ok(None) => TokenSinkResult::Continue,
            Err(failure) => {
                reader.failure = Some(failure);
                TokenSinkResult::Continue
            }
        }
    }
}

/// An element that is being left out, up to its end tag.
struct Skip {
    name: String,
    /// Open elements of this name, itself included.
    depth: usize,
    /// Open lists and tables inside it; at zero the element's own siblings end it.
    containers: usize,
}

struct Reader {
    output: Output,
    title: String,
    in_title: bool,
    skip: Option<Skip>,
    skip_navigation: bool,
    pre: usize,
    /// Cells begun in the present table row.
    cells: usize,
    failure: Option<ExtractError>,
}

type Step = Result<Option<RawKind>, ExtractError>;

impl Reader {
    fn start(&mut self, tag: &Tag) -> Step {
        let name = &*tag.name;
        let raw = raw_kind(name);
        if let Some(skip) = &mut self.skip {
            let ended_by_sibling =
                skip.name == name && skip.containers == 0 && ends_by_sibling(name);
            if !ended_by_sibling {
                skip.containers += usize::from(is_container(name));
                skip.depth += usize::from(skip.name == name && !is_foreign_self_closing(tag));
                return Ok(raw);
            }
            self.skip = None;
        }
        if self.is_left_out(tag) {
            self.skip = Some(Skip {
                name: name.to_owned(),
                depth: 1,
                containers: 0,
            });
            return Ok(raw);
        }
        match name {
            "title" => {
                self.in_title = self.title.is_empty();
            }
            "br" | "li" if self.cells > 0 => self.output.space()?,
            "pre" => {
                self.output.end_block()?;
                self.pre += 1;
            }
            "li" => {
                self.output.close_heading()?;
                self.output.end_line()?;
                self.output.push("- ")?;
            }
            "tr" => {
                self.end_row()?;
            }
            "td" | "th" => {
                self.output.space()?;
                self.output.push("| ")?;
                self.cells += 1;
            }
            "br" | "dt" | "dd" | "option" => self.output.end_line()?,
            _ => {
                if let Some(level) = heading_level(name) {
                    self.output.open_heading(level)?;
                } else if is_block(name) {
                    self.block()?;
                }
            }
        }
        Ok(raw)
    }

    fn end(&mut self, name: &str) -> Step {
        if let Some(skip) = &mut self.skip {
            if skip.name == name {
                skip.depth -= 1;
                if skip.depth == 0 {
                    self.skip = None;
                }
                return Ok(None);
            }
            if !is_container(name) {
                return Ok(None);
            }
            if skip.containers > 0 {
                skip.containers -= 1;
                return Ok(None);
            }
            if !ends_by_sibling(&skip.name) {
                return Ok(None);
            }
            // The list or table around a skipped item ends, and the item with it.
            self.skip = None;
        }
        match name {
            "title" => self.in_title = false,
            "pre" => {
                self.pre = self.pre.saturating_sub(1);
                self.output.end_block()?;
            }
            "tr" | "table" => {
                self.end_row()?;
                if name == "table" {
                    self.output.end_block()?;
                }
            }
            "li" | "dt" | "dd" => self.output.end_line()?,
            _ if heading_level(name).is_some() => self.output.close_heading()?,
            _ if is_block(name) => self.block()?,
            _ => {}
        }
        Ok(None)
    }

    fn text(&mut self, text: &str) -> Step {
        if self.in_title {
            if self.title.len() < 4096 {
                self.title.push_str(text);
            }
        } else if self.skip.is_none() {
            if self.pre > 0 && self.cells == 0 {
                self.output.push(text)?;
            } else {
                self.output.push_collapsed(text)?;
            }
        }
        Ok(None)
    }

    /// A block inside a table cell only parts words, so that the row stays one line.
    fn block(&mut self) -> Result<(), ExtractError> {
        if self.cells > 0 {
            return self.output.space();
        }
        self.output.close_heading()?;
        self.output.end_block()
    }

    fn end_row(&mut self) -> Result<(), ExtractError> {
        if self.cells > 0 {
            self.output.space()?;
            self.output.push("|")?;
        }
        self.cells = 0;
        self.output.end_line()
    }

    fn is_left_out(&self, tag: &Tag) -> bool {
        let name = &*tag.name;
        if is_void(name) || is_foreign_self_closing(tag) || matches!(name, "html" | "body") {
            return false;
        }
        matches!(
            name,
            "script"
                | "style"
                | "template"
                | "noscript"
                | "iframe"
                | "object"
                | "svg"
                | "math"
                | "noembed"
                | "noframes"
                | "select"
                | "button"
                | "canvas"
                | "audio"
                | "video"
        ) || (self.skip_navigation && is_navigation(name))
            || tag
                .attrs
                .iter()
                .any(|attribute| hides(&attribute.name.local, &attribute.value))
    }
}

#[cfg(test)]
mod tests;
