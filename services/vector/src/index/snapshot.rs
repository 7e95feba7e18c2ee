use std::collections::BTreeMap;
use std::sync::Arc;

use touchstone_types::ChunkId;

use super::filter::CompiledFilter;
use super::merge::merge;
use super::segment::{Segment, Tombstones};

/// Segments of one tier that are merged into one of the next.
const FAN_IN: usize = 8;
/// The tier whose segments are large enough to stay.
const LAST_TIER: u32 = 4;
/// A segment is rewritten when more than one point in this many is dead.
const DEAD_SHARE: usize = 4;

/// A segment and its dead.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) segment: Arc<Segment>,
    pub(super) graves: Arc<Tombstones>,
}

impl Part {
    fn new(segment: Segment) -> Self {
        let graves = Arc::new(Tombstones::none(&segment));
        Self {
            segment: Arc::new(segment),
            graves,
        }
    }

    fn alive(&self) -> usize {
        self.segment.len() - self.graves.count()
    }

    /// Below 8 points 0, below 64 points 1, and so on up to [`LAST_TIER`].
    fn tier(&self) -> u32 {
        (self.alive().max(1).ilog2() / 3).min(LAST_TIER)
    }
}

/// Where a point stands in a [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    pub(super) part: u32,
    pub(super) slot: u16,
}

/// All points of a tenant in a collection, at one moment. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(super) parts: Vec<Part>,
}

impl Snapshot {
    /// Living points.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Part::alive).sum()
    }

    /// Whether no point lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of segments.
    pub fn segments(&self) -> usize {
        self.parts.len()
    }

    /// About how much memory the snapshot keeps.
    pub fn bytes(&self) -> usize {
        self.parts
            .iter()
            .map(|part| part.segment.bytes() + part.graves.bytes())
            .sum()
    }

    /// The same points and those of `segment`; points with the same id are replaced.
    #[must_use]
    pub fn with(&self, segment: Segment) -> Self {
        let mut replaced = Vec::new();
        for id in segment.ids() {
            replaced.extend(self.locate(*id));
        }
        let mut next = self.without(replaced);
        next.parts.push(Part::new(segment));
        next
    }

    /// The same points without some.
    #[must_use]
    pub fn without(&self, mut gone: Vec<Location>) -> Self {
        gone.sort_unstable();
        gone.dedup();
        let mut by_part: BTreeMap<u32, Vec<u16>> = BTreeMap::new();
        for location in gone {
            by_part
                .entry(location.part)
                .or_default()
                .push(location.slot);
        }
        let mut next = self.clone();
        for (part, slots) in by_part {
            let part = &mut next.parts[part as usize];
            Arc::make_mut(&mut part.graves).bury(&part.segment, &slots);
        }
        next
    }

    /// The same points in fewer segments: drops what is dead and merges what is small.
    #[must_use]
    pub fn tidied(mut self) -> Self {
        self.parts.retain(|part| part.alive() > 0);
        for part in &mut self.parts {
            if part.graves.count() * DEAD_SHARE > part.segment.len()
                && let Some(segment) = merge(std::slice::from_ref(part))
            {
                *part = Part::new(segment);
            }
        }
        while let Some(tier) = (0..LAST_TIER).find(|tier| self.of_tier(*tier).len() >= FAN_IN) {
            let members: Vec<usize> = self.of_tier(tier).into_iter().take(FAN_IN).collect();
            let parts: Vec<Part> = members
                .iter()
                .map(|index| self.parts[*index].clone())
                .collect();
            let mut index = 0;
            self.parts.retain(|_| {
                index += 1;
                !members.contains(&(index - 1))
            });
            self.parts.extend(merge(&parts).map(Part::new));
        }
        self
    }

    /// Whether [`Snapshot::tidied`] would change anything.
    pub fn is_untidy(&self) -> bool {
        self.parts
            .iter()
            .any(|part| part.graves.count() * DEAD_SHARE > part.segment.len())
            || (0..LAST_TIER).any(|tier| self.of_tier(tier).len() >= FAN_IN)
    }

    fn of_tier(&self, tier: u32) -> Vec<usize> {
        (0..self.parts.len())
            .filter(|index| self.parts[*index].tier() == tier)
            .collect()
    }

    /// Where a living point stands.
    pub fn locate(&self, id: ChunkId) -> Option<Location> {
        self.parts.iter().enumerate().find_map(|(number, part)| {
            let slot = part.segment.columns.find(id)?;
            (!part.graves.is_dead(slot)).then_some(Location {
                part: number as u32,
                slot: slot as u16,
            })
        })
    }

    /// The key of a point's row.
    pub fn key(&self, location: Location) -> i64 {
        self.parts[location.part as usize].segment.columns.keys[usize::from(location.slot)]
    }

    /// A point's id.
    pub fn id(&self, location: Location) -> ChunkId {
        self.parts[location.part as usize].segment.columns.ids[usize::from(location.slot)]
    }

    /// How many points pass.
    pub fn count(&self, filter: &CompiledFilter) -> usize {
        let count = |part: &Part| {
            filter
                .slots(&part.segment, &part.graves)
                .map_or(part.segment.len(), |slots| slots.count())
        };
        self.parts.iter().map(count).sum()
    }

    /// The points that pass, in no order.
    pub fn select(&self, filter: &CompiledFilter) -> Vec<Location> {
        let mut found = Vec::new();
        for (number, part) in self.parts.iter().enumerate() {
            let locate = |slot: usize| Location {
                part: number as u32,
                slot: slot as u16,
            };
            match filter.slots(&part.segment, &part.graves) {
                Some(slots) => found.extend(slots.iter().map(locate)),
                None => found.extend((0..part.segment.len()).map(locate)),
            }
        }
        found
    }

    /// The first `limit` points that pass and come after `after`, ascending by id.
    pub fn page(
        &self,
        filter: &CompiledFilter,
        after: Option<ChunkId>,
        limit: usize,
    ) -> Vec<Location> {
        let mut found: Vec<(ChunkId, Location)> = Vec::new();
        for (number, part) in self.parts.iter().enumerate() {
            let slots = filter.slots(&part.segment, &part.graves);
            let passing = part
                .segment
                .columns
                .after(after)
                .filter(|slot| slots.as_ref().is_none_or(|slots| slots.has(*slot)))
                .take(limit);
            found.extend(passing.map(|slot| {
                let location = Location {
                    part: number as u32,
                    slot: slot as u16,
                };
                (part.segment.columns.ids[slot], location)
            }));
        }
        found.sort_unstable_by_key(|(id, _)| *id);
        found.truncate(limit);
        found.into_iter().map(|(_, location)| location).collect()
    }
}
