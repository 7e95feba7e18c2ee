use std::panic::{AssertUnwindSafe, catch_unwind};

use pdf_extract::{
    ColorSpace, Document, Error, MediaBox, Object, OutputDev, OutputError, Path, PlainTextOutput,
    Transform, output_doc, output_doc_page,
};

use super::output::{Output, heading_name};
use super::{ExtractError, Extracted, Limits};

/// The text layer of a PDF, page after page.
///
/// A page that the library cannot read is left out, and [`Extracted::note`] says so; a file without
/// a readable page is damaged. Call it in the sandbox only: the libraries below panic, recurse and
/// allocate on hostile input.
pub(super) fn extract(bytes: &[u8], limits: Limits) -> Result<Extracted, ExtractError> {
    let mut document = Document::load_mem(bytes).map_err(|error| failure(&error))?;
    if document.trailer.get(b"Encrypt").is_ok() && !document.was_encrypted() {
        document.decrypt("").map_err(|_| ExtractError::Encrypted)?;
    }
    let mut raw = String::new();
    let mut note = None;
    let whole = render(&mut raw, limits, |output| output_doc(&document, output));
    if let Err(first) = whole {
        if matches!(first, ExtractError::TooLarge(_)) {
            return Err(first);
        }
        raw.clear();
        let pages = document.get_pages();
        let mut unread = 0;
        for page in pages.keys() {
            let read = raw.len();
            if render(&mut raw, limits, |output| {
                output_doc_page(&document, output, *page)
            })
            .is_err()
            {
                raw.truncate(read);
                unread += 1;
            }
            raw.push_str("\n\n");
        }
        if unread == pages.len() {
            return Err(first);
        }
        note = Some(format!(
            "{unread} of {} pages could not be read",
            pages.len()
        ));
    }
    let mut output = Output::new(bytes.len(), limits);
    output.push(&tidy(&raw))?;
    let extracted = output.finish(title(&document))?;
    Ok(Extracted { note, ..extracted })
}

/// Runs the library on a bounded output; a panic is an error like others.
fn render(
    raw: &mut String,
    limits: Limits,
    run: impl FnOnce(&mut dyn OutputDev) -> Result<(), OutputError>,
) -> Result<(), ExtractError> {
    let mut guarded = Guarded {
        bytes: raw.len(),
        inner: PlainTextOutput::new(raw),
        max_bytes: limits.max_output_bytes,
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| run(&mut guarded)));
    if guarded.bytes > limits.max_output_bytes {
        return Err(ExtractError::TooLarge(format!(
            "more than {} bytes of text",
            limits.max_output_bytes
        )));
    }
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(OutputError::PdfError(error))) => Err(failure(&error)),
        Ok(Err(error)) => Err(ExtractError::Damaged(error.to_string())),
        Err(_) => Err(ExtractError::Damaged(
            "its content cannot be read".to_owned(),
        )),
    }
}

fn failure(error: &Error) -> ExtractError {
    match error {
        Error::Decryption(_) | Error::InvalidPassword => ExtractError::Encrypted,
        error => ExtractError::Damaged(error.to_string()),
    }
}

/// Counts what is written, and stops a document that writes without end; parts the pages.
struct Guarded<'a> {
    inner: PlainTextOutput<&'a mut String>,
    bytes: usize,
    max_bytes: usize,
}

impl OutputDev for Guarded<'_> {
    fn begin_page(
        &mut self,
        page: u32,
        media: &MediaBox,
        art: Option<(f64, f64, f64, f64)>,
    ) -> Result<(), OutputError> {
        self.inner.begin_page(page, media, art)
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        self.inner.end_page()
    }

    fn output_character(
        &mut self,
        transform: &Transform,
        width: f64,
        spacing: f64,
        font_size: f64,
        text: &str,
    ) -> Result<(), OutputError> {
        self.bytes = self.bytes.saturating_add(text.len() + 1);
        if self.bytes > self.max_bytes {
            return Err(OutputError::FormatError(std::fmt::Error));
        }
        self.inner
            .output_character(transform, width, spacing, font_size, text)
    }

    fn begin_word(&mut self) -> Result<(), OutputError> {
        self.inner.begin_word()
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        self.inner.end_word()
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        self.inner.end_line()
    }

    fn stroke(
        &mut self,
        _transform: &Transform,
        _space: &ColorSpace,
        _color: &[f64],
        _path: &Path,
    ) -> Result<(), OutputError> {
        Ok(())
    }
}

/// Joins words that were parted at a line's end, drops control characters and runs of blank lines.
fn tidy(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut blank = 0;
    for line in raw.lines() {
        let line: String = line
            .chars()
            .filter(|c| !c.is_control() || *c == '\t')
            .collect();
        let line = line.trim();
        if line.is_empty() {
            blank += 1;
            continue;
        }
        if blank == 0 && is_parted(&text) && line.starts_with(char::is_lowercase) {
            text.truncate(text.len() - last_char_len(&text));
        } else if !text.is_empty() {
            text.push_str(if blank == 0 { "\n" } else { "\n\n" });
        }
        blank = 0;
        text.push_str(line);
    }
    text
}

fn is_parted(text: &str) -> bool {
    let mut chars = text.chars().rev();
    matches!(chars.next(), Some('-' | '\u{ad}' | '\u{2010}'))
        && chars.next().is_some_and(char::is_alphabetic)
}

fn last_char_len(text: &str) -> usize {
    text.chars().next_back().map_or(0, char::len_utf8)
}

fn title(document: &Document) -> Option<String> {
    let info = match document.trailer.get(b"Info").ok()? {
        Object::Reference(id) => document.get_object(*id).ok()?,
        object => object,
    };
    let bytes = info.as_dict().ok()?.get(b"Title").ok()?.as_str().ok()?;
    let title = if let Some(units) = bytes.strip_prefix(b"\xfe\xff") {
        let units = units
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| u16::from_be_bytes(*pair));
        char::decode_utf16(units)
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    } else if let Ok(text) = std::str::from_utf8(bytes) {
        text.trim_start_matches('\u{feff}').to_owned()
    } else {
        bytes
            .iter()
            .map(|byte| char::from(*byte))
            .collect::<String>()
    };
    let title: String = title.chars().filter(|c| !c.is_control()).collect();
    Some(heading_name(&title)).filter(|title| !title.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_tidied() {
        assert_eq!(
            tidy("\n\n\nThe exam-\nple is\u{0} long \n\n\n\nNext-\nUp"),
            "The example is long\n\nNext-\nUp"
        );
        assert_eq!(tidy(""), "");
    }
}
