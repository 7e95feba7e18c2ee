//! Ids of chunks and points: derived, so that a repeat overwrites instead of doubling.

use touchstone_types::{ChunkId, DocumentId};
use uuid::Uuid;

/// Namespace of chunk ids.
const CHUNKS: Uuid = Uuid::from_u128(0x8d3c_6f4e_51b0_4a0e_9c1d_7a54_4f7e_2b61);

/// Word that stands for "no dense model".
pub const NO_MODEL: &str = "none";

/// Dense model of a group of points; none when dense is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenseModel(pub Option<String>);

/// The id of a chunk: UUIDv5 of document, version, ordinal and dense model.
pub fn chunk_id(document: DocumentId, version: u32, ordinal: u32, model: Option<&str>) -> ChunkId {
    let model = model.unwrap_or(NO_MODEL);
    let mut name = Vec::with_capacity(24 + model.len());
    name.extend_from_slice(document.as_uuid().as_bytes());
    name.extend_from_slice(&version.to_be_bytes());
    name.extend_from_slice(&ordinal.to_be_bytes());
    name.extend_from_slice(model.as_bytes());
    ChunkId::from_uuid(Uuid::new_v5(&CHUNKS, &name))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_part_counts_and_the_same_parts_repeat() {
        let (a, b) = (
            DocumentId::from_uuid(Uuid::from_u128(1)),
            DocumentId::from_uuid(Uuid::from_u128(2)),
        );
        let ids: HashSet<_> = [
            chunk_id(a, 1, 0, None),
            chunk_id(b, 1, 0, None),
            chunk_id(a, 2, 0, None),
            chunk_id(a, 1, 1, None),
            chunk_id(a, 1, 0, Some("m")),
        ]
        .into();
        assert_eq!(ids.len(), 5);
        assert_eq!(chunk_id(a, 1, 0, None), chunk_id(a, 1, 0, Some(NO_MODEL)));
        assert_eq!(chunk_id(a, 1, 0, None).as_uuid().get_version_num(), 5);
    }

    #[test]
    fn ids_are_the_same_in_every_release() {
        let document =
            DocumentId::from_uuid(Uuid::from_u128(0x0192_f0c1_2b3a_7cde_8f01_2345_6789_abcd));
        let expected = "63fd3995-94e9-5e9c-9a5d-6ce845737b52";
        assert_eq!(chunk_id(document, 1, 0, None).to_string(), expected);
    }
}
