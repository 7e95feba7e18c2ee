//! Passages of the context.

use touchstone_text::Language;
use touchstone_types::{ByteSpan, ChunkId, DocumentId};

/// A passage of the context: the only thing an answer may rest on.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// Number in the prompt and in the answer's marks, from 1.
    pub marker: usize,
    /// Document.
    pub document_id: DocumentId,
    /// Chunk it grew from.
    pub chunk_id: ChunkId,
    /// The document's title.
    pub title: String,
    /// First byte of `text` in the document's stored text.
    pub start: usize,
    /// Exactly the document's bytes.
    pub text: String,
    /// Its language.
    pub language: Language,
    /// Score of the search, 0 or more.
    pub score: f32,
    /// Link to the original.
    pub url: Option<String>,
}

impl Passage {
    /// The same bytes, counted in the document.
    pub const fn in_document(&self, span: ByteSpan) -> ByteSpan {
        ByteSpan::new(self.start + span.start, self.start + span.end)
    }
}
