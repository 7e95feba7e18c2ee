//! Payloads that were read lately: a search of what is asked for often need not go to the file.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use moka::sync::Cache;
use touchstone_api::vector::Payload;
use touchstone_types::{ChunkId, TenantId};

/// Memory of a payload besides its texts, about.
const FRAME: usize = 256;

/// Payloads by the keys of their rows. The rows are the truth: whoever writes them says so here
/// before the write is answered, and what was read before that is not kept after it.
pub(super) struct Payloads {
    kept: Cache<i64, Arc<Kept>>,
    /// How often rows were written.
    writes: RwLock<u64>,
}

/// Whose payloads are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) collection: i64,
    pub(super) tenant: TenantId,
}

struct Kept {
    part: Part,
    id: ChunkId,
    payload: Payload,
}

/// What was found, and what must be read.
pub(super) struct Found {
    pub(super) payloads: BTreeMap<ChunkId, Payload>,
    pub(super) missing: BTreeMap<ChunkId, i64>,
    writes: u64,
}

impl Payloads {
    /// Keeps about `bytes` of them.
    pub(super) fn new(bytes: u64) -> Self {
        let weigh = |_: &i64, kept: &Arc<Kept>| u32::try_from(kept.size()).unwrap_or(u32::MAX);
        Self {
            kept: Cache::builder().max_capacity(bytes).weigher(weigh).build(),
            writes: RwLock::default(),
        }
    }

    /// Those of `wanted` that are kept.
    pub(super) fn find(&self, part: Part, wanted: BTreeMap<ChunkId, i64>) -> Found {
        let writes = *self.writes.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = Found {
            payloads: BTreeMap::new(),
            missing: BTreeMap::new(),
            writes,
        };
        let lost = touchstone_faults::cache_is_lost();
        for (id, key) in wanted {
            let kept = self.kept.get(&key).filter(|_| !lost);
            match kept.filter(|kept| kept.part == part && kept.id == id) {
                Some(kept) => {
                    found.payloads.insert(id, kept.payload.clone());
                }
                None => {
                    found.missing.insert(id, key);
                }
            }
        }
        found
    }

    /// Adds what was `read` of the missing, and keeps it unless rows were written meanwhile.
    pub(super) fn complete(
        &self,
        part: Part,
        found: Found,
        read: BTreeMap<ChunkId, Payload>,
    ) -> BTreeMap<ChunkId, Payload> {
        let writes = self.writes.read().unwrap_or_else(PoisonError::into_inner);
        if *writes == found.writes {
            for (id, payload) in &read {
                if let Some(key) = found.missing.get(id) {
                    let (id, payload) = (*id, payload.clone());
                    self.kept.insert(*key, Arc::new(Kept { part, id, payload }));
                }
            }
        }
        drop(writes);
        let mut payloads = found.payloads;
        payloads.extend(read);
        payloads
    }

    /// The rows of these keys were written, or removed.
    pub(super) fn written(&self, keys: &[i64]) {
        let mut writes = self.writes.write().unwrap_or_else(PoisonError::into_inner);
        *writes += 1;
        for key in keys {
            self.kept.invalidate(key);
        }
    }

    /// A whole collection was removed.
    pub(super) fn removed(&self) {
        let mut writes = self.writes.write().unwrap_or_else(PoisonError::into_inner);
        *writes += 1;
        self.kept.invalidate_all();
    }
}

impl Kept {
    fn size(&self) -> usize {
        let it = &self.payload;
        let heading = it.heading.as_ref().map_or(0, String::len);
        let facts: usize = it.metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
        FRAME + it.text.len() + it.title.len() + heading + facts
    }
}

impl fmt::Debug for Payloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payloads")
            .field("kept", &self.kept.entry_count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use touchstone_types::{Clock, DocumentId, FrozenClock, Source};
    use uuid::Uuid;

    use super::*;

    const PART: Part = Part {
        collection: 1,
        tenant: TenantId::from_uuid(Uuid::from_u128(7)),
    };

    fn id(number: u128) -> ChunkId {
        ChunkId::from_uuid(Uuid::from_u128(number))
    }

    fn payload(text: &str) -> Payload {
        Payload {
            document_id: DocumentId::from_uuid(Uuid::from_u128(1)),
            version: 1,
            ordinal: 0,
            start: 0,
            end: 0,
            text: text.to_owned(),
            title: String::new(),
            heading: None,
            language: "en".to_owned(),
            source: Source::Upload,
            created_at: FrozenClock::default().now(),
            metadata: BTreeMap::new(),
        }
    }

    fn wanted() -> BTreeMap<ChunkId, i64> {
        [(id(1), 10)].into()
    }

    /// Reads the wanted row, which says `text`.
    fn read(payloads: &Payloads, part: Part, text: &str) -> Found {
        let found = payloads.find(part, wanted());
        assert_eq!(found.missing.len(), 1, "nothing is kept yet");
        payloads.complete(part, found, [(id(1), payload(text))].into());
        payloads.find(part, wanted())
    }

    #[test]
    fn what_was_read_is_kept_for_its_own_tenant_and_point() {
        let payloads = Payloads::new(1 << 20);
        let found = read(&payloads, PART, "old");
        assert_eq!(found.payloads[&id(1)].text, "old");
        let other = TenantId::from_uuid(Uuid::from_u128(8));
        for part in [
            Part {
                tenant: other,
                ..PART
            },
            Part {
                collection: 2,
                ..PART
            },
        ] {
            assert!(payloads.find(part, wanted()).payloads.is_empty());
        }
        let same_row = payloads.find(PART, [(id(2), 10)].into());
        assert!(same_row.payloads.is_empty());
    }

    #[test]
    fn what_was_read_before_a_write_is_not_kept_after_it() {
        let payloads = Payloads::new(1 << 20);
        let found = payloads.find(PART, wanted());
        payloads.written(&[10]);
        let answer = payloads.complete(PART, found, [(id(1), payload("old"))].into());
        assert_eq!(answer[&id(1)].text, "old", "this reader began earlier");
        assert!(payloads.find(PART, wanted()).payloads.is_empty());
    }

    #[test]
    fn a_write_ends_what_is_kept_of_its_rows() {
        let payloads = Payloads::new(1 << 20);
        for end in [
            |payloads: &Payloads| payloads.written(&[10]),
            Payloads::removed,
        ] {
            assert_eq!(read(&payloads, PART, "old").payloads.len(), 1);
            end(&payloads);
            assert!(payloads.find(PART, wanted()).payloads.is_empty());
        }
    }
}
