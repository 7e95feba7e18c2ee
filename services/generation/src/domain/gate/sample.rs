//! Passages for tests.

use touchstone_text::detect;
use touchstone_types::{ChunkId, DocumentId};
use uuid::Uuid;

use crate::domain::passage::Passage;

/// Passages numbered from 1, each 100 bytes further into its document.
pub(crate) fn passages(texts: &[&str]) -> Vec<Passage> {
    let id = |at: usize| Uuid::from_u128(at as u128);
    texts
        .iter()
        .enumerate()
        .map(|(at, text)| Passage {
            marker: at + 1,
            document_id: DocumentId::from_uuid(id(at + 1)),
            chunk_id: ChunkId::from_uuid(id(at + 101)),
            title: format!("Document {}", at + 1),
            start: 100 * at,
            text: (*text).to_owned(),
            language: detect(text),
            score: 1.0 / (at as f32 + 1.0),
            url: None,
        })
        .collect()
}

/// Two English passages about rivers.
pub(crate) fn rivers() -> Vec<Passage> {
    passages(&[
        "The Nile is a river in Africa. It is 6,650 km long and flows through eleven countries. \
         Herodotus called Egypt \"the gift of the Nile\".[4] Its two tributaries meet in Khartoum.",
        "The Amazon carries more water than any other river. Its basin covers seven million square \
         kilometres of South America. Francisco de Orellana sailed down it in 1541.",
    ])
}
