//! What a file is, whether it may come in, and the text inside it.
//!
//! Three steps, each pure:
//! 1. [`detect`] names the format; the first bytes beat the file name and the media type.
//! 2. [`preflight`] makes the cheap checks that belong to the upload: archive bombs, depth, syntax.
//! 3. [`extract`] takes the text out. PDF, DOCX and HTML are parsed by large third-party code on
//!    hostile input, so services call it through [`crate::sandbox::Extractor`], which runs it in a
//!    child process with limits.

mod csv;
mod detect;
mod docx;
mod error;
mod html;
mod json;
mod markdown;
mod output;
mod pdf;
mod text;
mod zip_guard;

use std::str::FromStr;

pub use self::detect::detect;
pub use self::error::{ExtractError, Rejection};
pub use crate::domain::chunker::Heading;

/// A kind of file that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Plain text, kept byte for byte.
    Text,
    /// Markdown, kept byte for byte.
    Markdown,
    /// HTML, reduced to what a reader sees.
    Html,
    /// Word (Office Open XML).
    Docx,
    /// Comma, semicolon, tab or pipe separated values.
    Csv,
    /// JSON, or one JSON value per line.
    Json,
    /// PDF with a text layer.
    Pdf,
}

impl Format {
    /// Every format.
    pub const ALL: &'static [Self] = &[
        Self::Text,
        Self::Markdown,
        Self::Html,
        Self::Docx,
        Self::Csv,
        Self::Json,
        Self::Pdf,
    ];

    /// The word in configuration, on the worker's command line and in the stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Docx => "docx",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Pdf => "pdf",
        }
    }

    /// The media type.
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Markdown => "text/markdown",
            Self::Html => "text/html",
            Self::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            Self::Csv => "text/csv",
            Self::Json => "application/json",
            Self::Pdf => "application/pdf",
        }
    }

    /// Whether the text is taken out in a child process.
    pub const fn is_sandboxed(self) -> bool {
        matches!(self, Self::Html | Self::Docx | Self::Pdf)
    }

    /// Whether the file itself is text.
    pub const fn is_textual(self) -> bool {
        !matches!(self, Self::Docx | Self::Pdf)
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|format| format.as_str() == word)
            .ok_or_else(|| format!("`{word}` is not a format"))
    }
}

/// What extraction may produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest text, in bytes. Besides, more than 100 characters per input byte after the first
    /// million is taken for a bomb.
    pub max_output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_output_bytes: 64 * 1024 * 1024,
        }
    }
}

/// The text of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// UTF-8 text, never blank; this is what is stored, and every offset refers to it.
    pub text: String,
    /// The title that the file gives itself.
    pub title: Option<String>,
    /// Headings by ascending offset into `text`.
    pub headings: Vec<Heading>,
    /// What is missing from the text, in words for people.
    pub note: Option<String>,
}

/// Makes the checks that answer an upload at once.
///
/// Linear in the size of the file and without unpacking more than the archive declares; still
/// CPU work, so call it off the async threads for large files.
///
/// # Errors
/// A [`Rejection`] of kind 422.
pub fn preflight(format: Format, bytes: &[u8]) -> Result<(), Rejection> {
    if bytes.is_empty() {
        return Err(Rejection::Empty);
    }
    if format == Format::Docx {
        zip_guard::check(bytes)?;
        return docx::verify_sizes(bytes);
    }
    if format.is_textual() {
        let text = text::decode(bytes)?;
        if text.trim().is_empty() {
            return Err(Rejection::Empty);
        }
        if format == Format::Json {
            json::check(&text)?;
        }
    }
    Ok(())
}

/// Takes the text out of a file, in this process.
///
/// # Errors
/// [`ExtractError`]; blank text is [`ExtractError::NoText`].
pub fn extract(format: Format, bytes: &[u8], limits: Limits) -> Result<Extracted, ExtractError> {
    let extracted = match format {
        Format::Text => text::extract(text::decode(bytes)?.into_owned(), limits),
        Format::Markdown => markdown::extract(text::decode(bytes)?.into_owned(), limits),
        Format::Html => html::extract(&text::decode(bytes)?, limits),
        Format::Csv => csv::extract(&text::decode(bytes)?, limits),
        Format::Json => json::extract(&text::decode(bytes)?, limits),
        Format::Docx => docx::extract(bytes, limits),
        Format::Pdf => pdf::extract(bytes, limits),
    }?;
    if extracted.text.trim().is_empty() {
        return Err(ExtractError::NoText);
    }
    Ok(extracted)
}
