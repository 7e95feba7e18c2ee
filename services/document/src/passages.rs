//! Cuts passages out of texts, of which only the pieces around them are read.

use std::collections::HashMap;

use touchstone_api::document::{Passage, PassageSpan, PassagesRequest};
use touchstone_types::ByteSpan;

use crate::domain::passage::grow;
use crate::error::Error;
use crate::store::{Piece, TextPiece};

/// Most spans of a request.
const MAX_SPANS: usize = 100;
/// Most bytes that a passage grows to.
const MAX_GROW: usize = 20_000;
/// More than a character, so that a piece that does not begin with its text begins before
/// everything that growing looks at.
const MARGIN: usize = 8;

/// The pieces to read for a request, of at most `most` bytes together.
pub fn pieces(request: &PassagesRequest, most: u64) -> Result<Vec<Piece>, Error> {
    if request.spans.is_empty() || request.spans.len() > MAX_SPANS {
        return Err(Error::Passages("`spans` must have 1 to 100 items"));
    }
    if request.grow_to > MAX_GROW {
        return Err(Error::Passages("`grow_to` must be at most 20,000"));
    }
    let lengths = request
        .spans
        .iter()
        .map(|span| span.end.saturating_sub(span.start) as u64);
    if lengths.fold(0, u64::saturating_add) > most {
        return Err(Error::Passages(
            "the passages together are too long; ask for fewer",
        ));
    }
    let piece = |(number, span): (u32, &PassageSpan)| {
        let (start, around) = (first_byte(span, request.grow_to), request.grow_to + MARGIN);
        Piece {
            number,
            id: span.document_id,
            version: span.version,
            start,
            length: span.end.saturating_add(around).saturating_sub(start),
        }
    };
    Ok((0..)
        .zip(&request.spans)
        .filter(|(_, span)| span.start <= span.end)
        .map(piece)
        .collect())
}

fn first_byte(span: &PassageSpan, grow_to: usize) -> usize {
    span.start.saturating_sub(grow_to + MARGIN)
}

/// The passages of a request, one per span; `None` where there is no such place.
pub fn cut(request: &PassagesRequest, pieces: Vec<TextPiece>) -> Vec<Option<Passage>> {
    let mut pieces: HashMap<_, _> = pieces.into_iter().map(|it| (it.number, it)).collect();
    let passage = |(number, span)| cut_one(span, request.grow_to, pieces.remove(&number)?);
    (0..).zip(&request.spans).map(passage).collect()
}

fn cut_one(span: &PassageSpan, grow_to: usize, piece: TextPiece) -> Option<Passage> {
    let mut offset = first_byte(span, grow_to);
    // Halves of characters at the ends go.
    let head = piece
        .body
        .iter()
        .take_while(|byte| offset > 0 && is_inside(**byte))
        .count();
    offset += head;
    let body = piece.body.get(head..)?;
    let body = match std::str::from_utf8(body) {
        Ok(body) => body,
        Err(error) if !piece.ends => std::str::from_utf8(body.get(..error.valid_up_to())?).ok()?,
        Err(_) => return None,
    };
    let inner = ByteSpan::new(
        span.start.checked_sub(offset)?,
        span.end.checked_sub(offset)?,
    );
    inner.of(body)?;
    let inner = if grow_to > inner.len() {
        grow(body, inner, grow_to)
    } else {
        inner
    };
    Some(Passage {
        document_id: span.document_id,
        title: piece.title,
        start: inner.start + offset,
        end: inner.end + offset,
        text: inner.of(body)?.to_owned(),
    })
}

/// Whether a byte of UTF-8 continues a character.
const fn is_inside(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use touchstone_types::DocumentId;
    use uuid::Uuid;

    use super::*;

    fn request(start: usize, end: usize, grow_to: usize) -> PassagesRequest {
        let document_id = DocumentId::from_uuid(Uuid::nil());
        let span = PassageSpan {
            document_id,
            version: 1,
            start,
            end,
        };
        PassagesRequest {
            spans: vec![span],
            grow_to,
        }
    }

    fn read(text: &str, piece: &Piece) -> TextPiece {
        let (bytes, end) = (text.as_bytes(), piece.start + piece.length);
        let body = bytes
            .get(piece.start..end.min(bytes.len()))
            .unwrap_or_default();
        let (title, ends) = (String::new(), bytes.len() <= end);
        TextPiece {
            number: piece.number,
            title,
            body: body.to_vec(),
            ends,
        }
    }

    #[test]
    fn refuses_more_than_may_be_read() {
        assert!(pieces(&request(0, usize::MAX, 0), 1 << 20).is_err());
        assert!(pieces(&request(0, 10, 20_001), 1 << 20).is_err());
        assert!(
            pieces(
                &PassagesRequest {
                    spans: Vec::new(),
                    grow_to: 0
                },
                1
            )
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn a_piece_gives_the_passage_that_the_whole_text_gives(
            words in proptest::collection::vec("[a-zа-я]{1,9}[.!?,]? ", 1..120),
            start in 0_usize..900,
            length in 0_usize..80,
            grow_to in 0_usize..300,
        ) {
            let text = words.concat();
            let request = request(start, start + length, grow_to);
            let wanted = pieces(&request, 1 << 20).unwrap();
            let found = cut(&request, vec![read(&text, &wanted[0])]).remove(0);
            let span = ByteSpan::new(start, start + length);
            let whole = span.of(&text).map(|_| grow(&text, span, grow_to));
            prop_assert_eq!(found.as_ref().map(|it| ByteSpan::new(it.start, it.end)), whole);
            if let Some(passage) = found {
                prop_assert_eq!(&text[passage.start..passage.end], passage.text);
            }
        }
    }
}
