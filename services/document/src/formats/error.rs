use touchstone_error::{Classify, ErrorKind};

use super::Format;

/// Why an upload is turned away at once. Nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Neither the name, nor the media type, nor the bytes tell a format that is read.
    #[error(
        "files of this kind are not read ({0}); send text, Markdown, HTML, DOCX, CSV, JSON or PDF"
    )]
    UnsupportedFormat(String),
    /// The bytes are of another kind than the name or the media type says.
    #[error("the file is declared as {declared}, but its bytes are {found}")]
    Mismatch {
        /// What name or media type say.
        declared: Format,
        /// What the bytes say.
        found: &'static str,
    },
    /// Declared as text, and its bytes are not text.
    #[error("the file is declared as text, but its content is binary")]
    Binary,
    /// Text with a broken encoding.
    #[error("the text is not valid UTF-8 (first broken byte at offset {0})")]
    InvalidUtf8(usize),
    /// Text with a NUL.
    #[error("the text contains a NUL (at offset {0})")]
    NulByte(usize),
    /// No bytes, or nothing but white space.
    #[error("the file is empty")]
    Empty,
    /// An archive that unpacks to far more than it is.
    #[error("the archive looks like a bomb: {0}")]
    ZipBomb(&'static str),
    /// Broken in a way that shows without reading the whole of it.
    #[error("the file is malformed: {0}")]
    Malformed(&'static str),
    /// Nested deeper than any honest file.
    #[error("the file is nested deeper than {0} levels")]
    TooDeep(usize),
    /// Needs a password.
    #[error("the file is encrypted")]
    Encrypted,
}

impl Classify for Rejection {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::UnsupportedFormat(_) | Self::Mismatch { .. } | Self::Binary => {
                ErrorKind::UnsupportedMediaType
            }
            Self::InvalidUtf8(_)
            | Self::NulByte(_)
            | Self::Empty
            | Self::ZipBomb(_)
            | Self::Malformed(_)
            | Self::TooDeep(_)
            | Self::Encrypted => ErrorKind::Unprocessable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::UnsupportedFormat(_) => "document.unsupported_format",
            Self::Mismatch { .. } => "document.format_mismatch",
            Self::Binary => "document.binary_content",
            Self::InvalidUtf8(_) => "document.invalid_utf8",
            Self::NulByte(_) => "document.nul_byte",
            Self::Empty => "document.empty",
            Self::ZipBomb(_) => "document.zip_bomb",
            Self::Malformed(_) => "document.malformed",
            Self::TooDeep(_) => "document.too_deep",
            Self::Encrypted => "document.encrypted",
        }
    }
}

/// Why no text came out of a file that was accepted; the document turns `failed` with this reason.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The parser cannot make sense of the file.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// Needs a password.
    #[error("the file is encrypted")]
    Encrypted,
    /// Unpacks to more text or needs more memory than allowed.
    #[error("the file is too large to read: {0}")]
    TooLarge(String),
    /// Nested too deep.
    #[error("the file is nested too deep")]
    TooDeep,
    /// Readable, but without text: blank, or pictures of text.
    #[error("the file contains no text")]
    NoText,
    /// The parser's process died of this file; the service did not.
    #[error("the parser crashed on this file ({0})")]
    Crashed(String),
    /// The parser's process was stopped at its time limit.
    #[error("the parser did not finish in time")]
    TimedOut,
    /// The parser's process used up the CPU time that a file is given.
    #[error("the file takes too much computing time to read")]
    TooSlow,
    /// The parser's process could not be run; nothing is known about the file.
    #[error("the parser could not be started")]
    Unavailable(#[source] std::io::Error),
}

impl ExtractError {
    /// Whether another attempt can end differently: the machine was at fault, not the file.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::TimedOut)
    }
}

impl Classify for ExtractError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable(_) => ErrorKind::Unavailable,
            _ => ErrorKind::Unprocessable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Damaged(_) => "document.damaged",
            Self::Encrypted => "document.encrypted",
            Self::TooLarge(_) => "document.too_large",
            Self::TooDeep => "document.too_deep",
            Self::NoText => "document.no_text",
            Self::Crashed(_) => "document.parser_crashed",
            Self::TimedOut | Self::TooSlow => "document.parser_timeout",
            Self::Unavailable(_) => "document.parser_unavailable",
        }
    }
}

impl From<Rejection> for ExtractError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Encrypted => Self::Encrypted,
            Rejection::TooDeep(_) => Self::TooDeep,
            Rejection::Empty => Self::NoText,
            Rejection::ZipBomb(why) => Self::TooLarge(why.to_owned()),
            other => Self::Damaged(other.to_string()),
        }
    }
}
