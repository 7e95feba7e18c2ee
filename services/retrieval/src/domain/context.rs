//! Assembly of a prompt's context from hits that grew to their parents.

use std::collections::{BTreeMap, BTreeSet};

use touchstone_types::{ByteSpan, DocumentId};

/// A piece of a document that may go into the context.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Document.
    pub document: DocumentId,
    /// Where it stands.
    pub span: ByteSpan,
    /// Exactly those bytes.
    pub text: String,
}

impl Piece {
    fn chars(&self) -> usize {
        self.text.chars().count()
    }
}

/// A hit, best first: the chunk that was found and the parent that it grew to.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The chunk.
    pub chunk: Piece,
    /// The chunk with its surroundings; the chunk itself when there is nothing more.
    pub parent: Piece,
}

/// Limits of the context.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Characters in all.
    pub chars: usize,
    /// Share of them that one document may fill when there are others.
    pub document_share: f32,
}

/// A passage of the context.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// The first hit that it grew from: index into the sources.
    pub source: usize,
    /// Its text.
    pub piece: Piece,
}

/// Why a hit is not in the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Its text is part of a passage that is.
    Merged,
    /// No room.
    Budget,
    /// Its document has its share.
    Share,
}

impl Left {
    /// In words, for `explain`.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Merged => "merged into another passage",
            Self::Budget => "no room left",
            Self::Share => "its document has its share",
        }
    }
}

/// Fills the context in the order of the hits; what is left out comes with the reason.
///
/// Overlapping parents of one document become one passage. A parent that does not fit gives way to
/// its chunk, and the first chunk to its beginning, so that the context is never empty when there
/// is a hit. The same hits give the same context.
pub fn assemble(sources: &[Source], budget: Budget) -> (Vec<Chosen>, Vec<(usize, Left)>) {
    let documents: BTreeSet<DocumentId> =
        sources.iter().map(|source| source.chunk.document).collect();
    let share = if documents.len() > 1 {
        (budget.chars as f32 * budget.document_share) as usize
    } else {
        budget.chars
    };
    let mut assembly = Assembly {
        budget: budget.chars,
        share,
        ..Assembly::default()
    };
    for (at, source) in sources.iter().enumerate() {
        assembly.offer(at, source);
    }
    (assembly.chosen, assembly.left)
}

#[derive(Default)]
struct Assembly {
    budget: usize,
    share: usize,
    used: usize,
    used_by: BTreeMap<DocumentId, usize>,
    chosen: Vec<Chosen>,
    left: Vec<(usize, Left)>,
}

impl Assembly {
    fn offer(&mut self, at: usize, source: &Source) {
        let inside = |chosen: &&Chosen| {
            chosen.piece.document == source.chunk.document
                && chosen.piece.span.start <= source.chunk.span.start
                && source.chunk.span.end <= chosen.piece.span.end
        };
        if self.chosen.iter().any(|chosen| inside(&chosen)) {
            self.left.push((at, Left::Merged));
            return;
        }
        for piece in [&source.parent, &source.chunk] {
            if self.join(piece) {
                self.left.push((at, Left::Merged));
                return;
            }
            if self.overlaps(piece) {
                continue;
            }
            if self.fits(piece.document, piece.chars()) {
                self.take(at, piece.clone());
                return;
            }
        }
        if self.chosen.is_empty() {
            let room = self.budget.min(self.share);
            self.take(at, beginning(&source.chunk, room));
            return;
        }
        let reason = if self.used + source.chunk.chars() > self.budget {
            Left::Budget
        } else if self.overlaps(&source.chunk) {
            Left::Merged
        } else {
            Left::Share
        };
        self.left.push((at, reason));
    }

    fn fits(&self, document: DocumentId, chars: usize) -> bool {
        let own = self.used_by.get(&document).copied().unwrap_or(0);
        self.used + chars <= self.budget && own + chars <= self.share
    }

    fn take(&mut self, source: usize, piece: Piece) {
        self.count(piece.document, piece.chars());
        self.chosen.push(Chosen { source, piece });
    }

    fn count(&mut self, document: DocumentId, chars: usize) {
        self.used += chars;
        *self.used_by.entry(document).or_default() += chars;
    }

    fn overlaps(&self, piece: &Piece) -> bool {
        self.chosen
            .iter()
            .any(|chosen| touches(&chosen.piece, piece))
    }

    /// Joins a piece to the one passage that it overlaps, when the rest of it fits.
    fn join(&mut self, piece: &Piece) -> bool {
        let mut touching =
            (0..self.chosen.len()).filter(|at| touches(&self.chosen[*at].piece, piece));
        let (Some(at), None) = (touching.next(), touching.next()) else {
            return false;
        };
        let Some(union) = unite(&self.chosen[at].piece, piece) else {
            return false;
        };
        let more = union.chars().saturating_sub(self.chosen[at].piece.chars());
        if !self.fits(piece.document, more) {
            return false;
        }
        self.count(piece.document, more);
        self.chosen[at].piece = union;
        true
    }
}

fn touches(a: &Piece, b: &Piece) -> bool {
    a.document == b.document && a.span.start < b.span.end && b.span.start < a.span.end
}

/// One piece out of two that overlap.
fn unite(a: &Piece, b: &Piece) -> Option<Piece> {
    let (first, second) = if a.span.start <= b.span.start {
        (a, b)
    } else {
        (b, a)
    };
    if second.span.end <= first.span.end {
        return Some(first.clone());
    }
    let known = first.span.end.checked_sub(second.span.start)?;
    let rest = second.text.get(known..)?;
    Some(Piece {
        document: a.document,
        span: ByteSpan::new(first.span.start, second.span.end),
        text: format!("{}{rest}", first.text),
    })
}

/// The whole sentences at the start of a piece that fit, at least as many characters as fit.
fn beginning(piece: &Piece, chars: usize) -> Piece {
    let hard = piece
        .text
        .char_indices()
        .nth(chars)
        .map_or(piece.text.len(), |(at, _)| at);
    let soft = touchstone_text::sentences(&piece.text)
        .into_iter()
        .take_while(|span| span.end <= hard)
        .last()
        .map_or(hard, |span| span.end);
    Piece {
        document: piece.document,
        span: ByteSpan::new(piece.span.start, piece.span.start + soft),
        text: piece.text[..soft].to_owned(),
    }
}

#[cfg(test)]
mod tests;
