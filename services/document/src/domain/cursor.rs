//! Cursors of the lists: opaque to the caller, checked on the way in.

use touchstone_types::DocumentId;
use uuid::Uuid;

/// The text is not a cursor of this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this list; pass `next_cursor` of the page before, or leave it out")]
pub struct InvalidCursor;

/// Continues a list of documents after this one.
pub fn after_document(id: DocumentId) -> String {
    format!("d{}", id.as_uuid().simple())
}

/// Reads what [`after_document`] wrote.
///
/// # Errors
/// [`InvalidCursor`].
pub fn parse_document(text: &str) -> Result<DocumentId, InvalidCursor> {
    let id = text
        .strip_prefix('d')
        .filter(|hex| hex.len() == 32)
        .ok_or(InvalidCursor)?;
    let id = Uuid::try_parse(id)
        .map(DocumentId::from_uuid)
        .map_err(|_| InvalidCursor)?;
    if after_document(id) == text {
        Ok(id)
    } else {
        Err(InvalidCursor)
    }
}

/// Continues a list of chunks of one version after this ordinal.
pub fn after_chunk(version: u32, ordinal: u32) -> String {
    format!("c{version:08x}{ordinal:08x}")
}

/// Reads what [`after_chunk`] wrote: version and ordinal.
///
/// # Errors
/// [`InvalidCursor`].
pub fn parse_chunk(text: &str) -> Result<(u32, u32), InvalidCursor> {
    let parse = |range| {
        text.get(range)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok())
    };
    let (version, ordinal) = parse(1..9).zip(parse(9..17)).ok_or(InvalidCursor)?;
    if after_chunk(version, ordinal) == text {
        Ok((version, ordinal))
    } else {
        Err(InvalidCursor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_it_did_not_write() {
        for text in [
            "",
            "d",
            "d123",
            "x0192f0c12b3a7cde8f0123456789abcd",
            "d+192f0c12b3a7cde8f0123456789abcd",
            "dé192f0c12b3a7cde8f0123456789abc",
            "d0192F0C12B3A7CDE8F0123456789ABCD",
            "' OR 1=1",
        ] {
            assert_eq!(parse_document(text), Err(InvalidCursor), "{text}");
        }
        for text in [
            "",
            "c",
            "c0000000100000002x",
            "c+000000100000002",
            "cé0000010000000",
            "d0000000100000002",
        ] {
            assert_eq!(parse_chunk(text), Err(InvalidCursor), "{text}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_wrote(bytes in any::<[u8; 16]>(), version in 0_u32.., ordinal in 0_u32..) {
            let id = DocumentId::from_uuid(Uuid::from_bytes(bytes));
            prop_assert_eq!(parse_document(&after_document(id)), Ok(id));
            prop_assert_eq!(parse_chunk(&after_chunk(version, ordinal)), Ok((version, ordinal)));
        }

        #[test]
        fn any_text_is_refused_or_read_without_a_panic(text in ".{0,40}") {
            let _ = (parse_document(&text), parse_chunk(&text));
        }
    }
}
