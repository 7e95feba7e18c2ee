use super::columns::ColumnsBuilder;
use super::postings::Postings;
use super::segment::{DenseBlock, Segment};
use super::snapshot::Part;

/// Marks a slot that does not survive a merge.
const GONE: u16 = u16::MAX;

/// Writes the living points of `parts` into one segment; `None` when there are none.
pub(super) fn merge(parts: &[Part]) -> Option<Segment> {
    let mut columns = ColumnsBuilder::new();
    let mut places: Vec<Vec<u16>> = Vec::with_capacity(parts.len());
    for part in parts {
        let slots = 0..part.segment.len();
        let place = slots.map(|slot| {
            if part.graves.is_dead(slot) {
                return GONE;
            }
            let place = columns.len() as u16;
            columns.push(part.segment.columns.facts(slot));
            place
        });
        places.push(place.collect());
    }
    if columns.len() == 0 {
        return None;
    }
    let names = parts.first().map_or(0, |part| part.segment.sparse.len());
    let sparse = (0..names)
        .map(|number| merge_lists(parts, &places, number))
        .collect();
    Some(Segment {
        columns: columns.finish(),
        sparse,
        dense: merge_dense(parts, &places),
    })
}

fn merge_lists(parts: &[Part], places: &[Vec<u16>], number: usize) -> Postings {
    // Ascending by term, then by part: so slots of a term stay ascending.
    let mut order: Vec<(u32, u16, u32)> = Vec::new();
    let mut postings = 0;
    for (part_number, part) in parts.iter().enumerate() {
        let lists = &part.segment.sparse[number];
        postings += lists.len();
        let terms = lists.terms().iter().enumerate();
        order.extend(terms.map(|(index, term)| (*term, part_number as u16, index as u32)));
    }
    order.sort_unstable();
    let mut merged = Postings::with_capacity(order.len(), postings);
    for (term, part_number, index) in order {
        let part_number = usize::from(part_number);
        let list = parts[part_number].segment.sparse[number].list_at(index as usize);
        let place = &places[part_number];
        let survivors = list
            .slots
            .iter()
            .zip(list.weights)
            .filter_map(|(slot, weight)| {
                let slot = place[usize::from(*slot)];
                (slot != GONE).then_some((slot, *weight))
            });
        merged.append(term, survivors);
    }
    merged.shrink();
    merged
}

fn merge_dense(parts: &[Part], places: &[Vec<u16>]) -> Option<DenseBlock> {
    let mut merged: Option<DenseBlock> = None;
    for (part, place) in parts.iter().zip(places) {
        let Some(block) = &part.segment.dense else {
            continue;
        };
        let target = merged.get_or_insert_with(|| DenseBlock {
            dimension: block.dimension,
            slots: Vec::new(),
            rows: Vec::new(),
        });
        for (slot, row) in block.iter() {
            if place[slot] != GONE {
                target.slots.push(place[slot]);
                target.rows.extend_from_slice(row);
            }
        }
    }
    merged
        .filter(|block| !block.slots.is_empty())
        .map(|mut block| {
            block.slots.shrink_to_fit();
            block.rows.shrink_to_fit();
            block
        })
}
