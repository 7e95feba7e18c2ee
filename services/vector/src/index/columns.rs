use std::collections::BTreeMap;

use touchstone_api::document::Metadata;
use touchstone_types::{ChunkId, DocumentId, Source};

/// What the index keeps of a point besides its vectors: all that a filter can ask.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Point.
    pub id: ChunkId,
    /// Key of its row.
    pub key: i64,
    /// Document.
    pub document_id: DocumentId,
    /// Version of the document.
    pub version: u32,
    /// Language.
    pub language: String,
    /// Origin.
    pub source: Source,
    /// When the document was accepted, microseconds UTC.
    pub created_at: i64,
    /// Free facts.
    pub metadata: Metadata,
}

/// A column whose values repeat: each is kept once.
#[derive(Debug)]
pub(super) struct Interned<T> {
    values: Vec<T>,
    codes: Vec<u16>,
}

impl<T> Interned<T> {
    pub(super) fn get(&self, slot: usize) -> &T {
        &self.values[usize::from(self.codes[slot])]
    }

    /// Answers `test` once per value; the result is asked by slot.
    pub(super) fn test(&self, test: impl FnMut(&T) -> bool) -> Tested<'_> {
        Tested {
            codes: &self.codes,
            holds: self.values.iter().map(test).collect(),
        }
    }
}

/// Which values of an interned column passed a test.
pub(super) struct Tested<'a> {
    codes: &'a [u16],
    holds: Vec<bool>,
}

impl Tested<'_> {
    pub(super) fn at(&self, slot: usize) -> bool {
        self.holds[usize::from(self.codes[slot])]
    }
}

/// Collects an interned column.
#[derive(Debug)]
struct Interner<T> {
    known: BTreeMap<T, u16>,
    codes: Vec<u16>,
}

impl<T: Ord> Interner<T> {
    const fn new() -> Self {
        Self {
            known: BTreeMap::new(),
            codes: Vec::new(),
        }
    }

    fn push(&mut self, value: T) {
        // There are never more values than slots, and a slot fits into 16 bits.
        let next = self.known.len() as u16;
        self.codes.push(*self.known.entry(value).or_insert(next));
    }

    fn finish(self) -> Interned<T> {
        let mut values: Vec<(u16, T)> = self
            .known
            .into_iter()
            .map(|(value, code)| (code, value))
            .collect();
        values.sort_unstable_by_key(|(code, _)| *code);
        let mut codes = self.codes;
        codes.shrink_to_fit();
        Interned {
            values: values.into_iter().map(|(_, value)| value).collect(),
            codes,
        }
    }
}

/// The facts of a segment's points, a column each.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) ids: Vec<ChunkId>,
    pub(super) keys: Vec<i64>,
    pub(super) documents: Interned<DocumentId>,
    pub(super) versions: Vec<u32>,
    pub(super) languages: Interned<String>,
    pub(super) sources: Vec<Source>,
    pub(super) created_at: Vec<i64>,
    pub(super) metadata: Interned<Metadata>,
    /// Slots in ascending order of their ids.
    pub(super) by_id: Vec<u16>,
}

impl Columns {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The slot of a point.
    pub(super) fn find(&self, id: ChunkId) -> Option<usize> {
        let place = self
            .by_id
            .binary_search_by_key(&id, |slot| self.ids[usize::from(*slot)])
            .ok()?;
        Some(usize::from(self.by_id[place]))
    }

    /// Slots whose ids come after `after`, ascending by id.
    pub(super) fn after(&self, after: Option<ChunkId>) -> impl Iterator<Item = usize> + '_ {
        let from = after.map_or(0, |after| {
            self.by_id
                .partition_point(|slot| self.ids[usize::from(*slot)] <= after)
        });
        self.by_id[from..].iter().map(|slot| usize::from(*slot))
    }

    pub(super) fn facts(&self, slot: usize) -> Facts {
        Facts {
            id: self.ids[slot],
            key: self.keys[slot],
            document_id: *self.documents.get(slot),
            version: self.versions[slot],
            language: self.languages.get(slot).clone(),
            source: self.sources[slot],
            created_at: self.created_at[slot],
            metadata: self.metadata.get(slot).clone(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.len() * (16 + 8 + 2 + 4 + 2 + 1 + 8 + 2 + 2) + self.documents.values.len() * 16
    }
}

/// Collects [`Columns`].
#[derive(Debug)]
pub(super) struct ColumnsBuilder {
    ids: Vec<ChunkId>,
    keys: Vec<i64>,
    documents: Interner<DocumentId>,
    versions: Vec<u32>,
    languages: Interner<String>,
    sources: Vec<Source>,
    created_at: Vec<i64>,
    metadata: Interner<Metadata>,
}

impl ColumnsBuilder {
    pub(super) const fn new() -> Self {
        Self {
            ids: Vec::new(),
            keys: Vec::new(),
            documents: Interner::new(),
            versions: Vec::new(),
            languages: Interner::new(),
            sources: Vec::new(),
            created_at: Vec::new(),
            metadata: Interner::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn push(&mut self, facts: Facts) {
        self.ids.push(facts.id);
        self.keys.push(facts.key);
        self.documents.push(facts.document_id);
        self.versions.push(facts.version);
        self.languages.push(facts.language);
        self.sources.push(facts.source);
        self.created_at.push(facts.created_at);
        self.metadata.push(facts.metadata);
    }

    pub(super) fn finish(self) -> Columns {
        let mut by_id: Vec<u16> = (0..self.ids.len() as u16).collect();
        by_id.sort_unstable_by_key(|slot| self.ids[usize::from(*slot)]);
        Columns {
            ids: exact(self.ids),
            keys: exact(self.keys),
            documents: self.documents.finish(),
            versions: exact(self.versions),
            languages: self.languages.finish(),
            sources: exact(self.sources),
            created_at: exact(self.created_at),
            metadata: self.metadata.finish(),
            by_id,
        }
    }
}

fn exact<T>(mut list: Vec<T>) -> Vec<T> {
    list.shrink_to_fit();
    list
}
