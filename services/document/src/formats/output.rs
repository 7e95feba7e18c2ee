use super::{ExtractError, Extracted, Heading, Limits};

/// Characters that any input may produce before the ratio is looked at.
const FREE_CHARS: usize = 1_000_000;
/// Characters per input byte beyond which an output is a bomb.
const MAX_CHARS_PER_BYTE: usize = 100;
/// A longer heading is a paragraph in disguise; its name is cut.
const MAX_HEADING_CHARS: usize = 200;

/// Text that grows under a cap, with its headings.
#[derive(Debug)]
pub(super) struct Output {
    text: String,
    headings: Vec<Heading>,
    open_heading: Option<(u8, usize)>,
    chars: usize,
    max_chars: usize,
    max_bytes: usize,
}

impl Output {
    /// An empty text for an input of `input_bytes`.
    pub(super) fn new(input_bytes: usize, limits: Limits) -> Self {
        Self {
            text: String::new(),
            headings: Vec::new(),
            open_heading: None,
            chars: 0,
            max_chars: FREE_CHARS.max(input_bytes.saturating_mul(MAX_CHARS_PER_BYTE)),
            max_bytes: limits.max_output_bytes,
        }
    }

    /// Appends text as it is.
    pub(super) fn push(&mut self, piece: &str) -> Result<(), ExtractError> {
        self.chars = self.chars.saturating_add(piece.chars().count());
        if self.chars > self.max_chars {
            return Err(ExtractError::TooLarge(
                "its text is out of all proportion".to_owned(),
            ));
        }
        if self.text.len().saturating_add(piece.len()) > self.max_bytes {
            return Err(ExtractError::TooLarge(format!(
                "more than {} bytes of text",
                self.max_bytes
            )));
        }
        self.text.push_str(piece);
        Ok(())
    }

    /// Appends text with every run of white space turned into one space.
    pub(super) fn push_collapsed(&mut self, piece: &str) -> Result<(), ExtractError> {
        let mut words = piece.split_whitespace().peekable();
        if words.peek().is_none() {
            if !piece.is_empty() {
                self.space()?;
            }
            return Ok(());
        }
        if piece.starts_with(char::is_whitespace) {
            self.space()?;
        }
        while let Some(word) = words.next() {
            self.push(word)?;
            if words.peek().is_some() {
                self.push(" ")?;
            }
        }
        if piece.ends_with(char::is_whitespace) {
            self.space()?;
        }
        Ok(())
    }

    /// Puts one space, unless a line begins here or white space stands here already.
    pub(super) fn space(&mut self) -> Result<(), ExtractError> {
        if self.text.is_empty() || self.text.ends_with(char::is_whitespace) {
            return Ok(());
        }
        self.push(" ")
    }

    /// Ends the line, if one is open.
    pub(super) fn end_line(&mut self) -> Result<(), ExtractError> {
        self.trim_line_end();
        if self.text.is_empty() || self.text.ends_with('\n') {
            return Ok(());
        }
        self.push("\n")
    }

    /// Ends the block: an empty line follows.
    pub(super) fn end_block(&mut self) -> Result<(), ExtractError> {
        self.end_line()?;
        if self.text.is_empty() || self.text.ends_with("\n\n") {
            return Ok(());
        }
        self.push("\n")
    }

    /// Starts a heading; what is pushed until [`Output::close_heading`] is its name.
    pub(super) fn open_heading(&mut self, level: u8) -> Result<(), ExtractError> {
        self.close_heading()?;
        self.end_block()?;
        self.open_heading = Some((level, self.text.len()));
        Ok(())
    }

    /// Ends the heading, if one is open; a blank one is forgotten.
    pub(super) fn close_heading(&mut self) -> Result<(), ExtractError> {
        let Some((level, offset)) = self.open_heading.take() else {
            return Ok(());
        };
        let name = self.text.get(offset..).unwrap_or_default();
        let leading = name.len() - name.trim_start().len();
        let name = heading_name(name);
        if !name.is_empty() {
            self.headings.push(Heading {
                offset: offset + leading,
                level,
                text: name,
            });
        }
        self.end_block()
    }

    /// The text, closed; the title falls back to the first heading of level one.
    pub(super) fn finish(mut self, title: Option<String>) -> Result<Extracted, ExtractError> {
        self.close_heading()?;
        self.text.truncate(self.text.trim_end().len());
        let title = title.filter(|title| !title.is_empty()).or_else(|| {
            self.headings
                .iter()
                .find(|heading| heading.level == 1)
                .map(|h| h.text.clone())
        });
        Ok(Extracted {
            text: self.text,
            title,
            headings: self.headings,
            note: None,
        })
    }

    fn trim_line_end(&mut self) {
        let kept = self.text.trim_end_matches([' ', '\t']).len();
        self.text.truncate(kept);
    }
}

/// A heading's or a title's text on one line and of bounded length.
pub(super) fn heading_name(text: &str) -> String {
    let mut name = String::new();
    for word in text.split_whitespace() {
        if !name.is_empty() {
            name.push(' ');
        }
        name.push_str(word);
        if let Some((cut, _)) = name.char_indices().nth(MAX_HEADING_CHARS) {
            name.truncate(cut);
            break;
        }
    }
    name
}
