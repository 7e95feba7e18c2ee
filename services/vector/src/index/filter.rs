use std::collections::HashSet;

use touchstone_api::document::Metadata;
use touchstone_api::vector::Filter;
use touchstone_types::{DocumentId, Source};

use super::bits::Bits;
use super::segment::{Segment, Tombstones};

/// A filter, ready to be asked of many segments.
#[derive(Debug, Default)]
pub struct CompiledFilter {
    documents: Option<HashSet<DocumentId>>,
    version: Option<u32>,
    version_below: Option<u32>,
    languages: Option<HashSet<String>>,
    sources: Option<Vec<Source>>,
    from: Option<i64>,
    before: Option<i64>,
    metadata: Metadata,
}

impl CompiledFilter {
    /// Prepares a filter. An empty list matches nothing.
    pub fn new(filter: &Filter) -> Self {
        Self {
            documents: filter
                .document_ids
                .as_ref()
                .map(|ids| ids.iter().copied().collect()),
            version: filter.version,
            version_below: filter.version_below,
            languages: filter
                .languages
                .as_ref()
                .map(|codes| codes.iter().cloned().collect()),
            sources: filter.sources.clone(),
            from: filter.created_after.map(|time| time.timestamp_micros()),
            before: filter.created_before.map(|time| time.timestamp_micros()),
            metadata: filter.metadata.clone(),
        }
    }

    /// Whether every point passes.
    pub fn is_open(&self) -> bool {
        self.documents.is_none()
            && self.version.is_none()
            && self.version_below.is_none()
            && self.languages.is_none()
            && self.sources.is_none()
            && self.from.is_none()
            && self.before.is_none()
            && self.metadata.is_empty()
    }

    /// The living slots that pass; `None` when all slots of the segment do.
    pub(super) fn slots(&self, segment: &Segment, graves: &Tombstones) -> Option<Bits> {
        let columns = &segment.columns;
        if self.is_open() {
            return (graves.count() > 0)
                .then(|| Bits::from_fn(segment.len(), |slot| !graves.is_dead(slot)));
        }
        let documents = self
            .documents
            .as_ref()
            .map(|wanted| columns.documents.test(|id| wanted.contains(id)));
        let languages = self
            .languages
            .as_ref()
            .map(|wanted| columns.languages.test(|code| wanted.contains(code)));
        let metadata = (!self.metadata.is_empty()).then(|| {
            columns.metadata.test(|facts| {
                self.metadata
                    .iter()
                    .all(|(name, value)| facts.get(name) == Some(value))
            })
        });
        Some(Bits::from_fn(segment.len(), |slot| {
            !graves.is_dead(slot)
                && documents.as_ref().is_none_or(|tested| tested.at(slot))
                && self
                    .version
                    .is_none_or(|version| columns.versions[slot] == version)
                && self
                    .version_below
                    .is_none_or(|version| columns.versions[slot] < version)
                && languages.as_ref().is_none_or(|tested| tested.at(slot))
                && self
                    .sources
                    .as_ref()
                    .is_none_or(|any| any.contains(&columns.sources[slot]))
                && self
                    .from
                    .is_none_or(|from| columns.created_at[slot] >= from)
                && self
                    .before
                    .is_none_or(|before| columns.created_at[slot] < before)
                && metadata.as_ref().is_none_or(|tested| tested.at(slot))
        }))
    }
}
