use touchstone_api::vector::Filter;
use touchstone_types::{ChunkId, DocumentId, Source, SparseVector};
use uuid::Uuid;

use super::*;

fn facts(number: u32) -> Facts {
    Facts {
        // Scattered, so that the order of ids is not the order of arrival.
        id: id(number),
        key: i64::from(number),
        document_id: DocumentId::from_uuid(Uuid::from_u128(u128::from(number / 10))),
        version: 1,
        language: "en".to_owned(),
        source: Source::Upload,
        created_at: 0,
        metadata: touchstone_api::document::Metadata::new(),
    }
}

fn id(number: u32) -> ChunkId {
    ChunkId::from_uuid(Uuid::from_u128(u128::from(
        number.wrapping_mul(2_654_435_761),
    )))
}

fn vector(number: u32, salt: u32) -> SparseVector {
    let pairs = (0..20).map(|i| {
        let hash = (number * 31 + i * 7 + salt).wrapping_mul(2_654_435_761);
        (hash % 300, ((hash >> 8) % 97) as f32 / 17.0)
    });
    SparseVector::from_pairs(pairs.collect())
}

fn segment(numbers: impl Iterator<Item = u32>, salt: u32) -> Segment {
    let mut builder = SegmentBuilder::new(1);
    for number in numbers {
        let dense = [number as f32 + 1.0, salt as f32, 3.0];
        builder.push(
            facts(number),
            std::iter::once((0, &vector(number, salt))),
            Some(&dense),
        );
    }
    builder.build()
}

fn plan(limit: usize) -> Plan {
    Plan {
        signals: vec![
            Signal::Sparse(0, vector(5, 1)),
            Signal::Dense(vec![0.6, 0.8, 0.0]),
        ],
        limit,
        filter: CompiledFilter::new(&Filter::default()),
        complete: true,
    }
}

fn ask(snapshot: &Snapshot, limit: usize) -> Vec<Vec<Hit>> {
    search(snapshot, &plan(limit), &|| false).unwrap()
}

#[test]
fn answers_do_not_depend_on_how_points_are_spread() {
    let whole = Snapshot::default().with(segment(0..3000, 1));
    let mut pieces = Snapshot::default();
    // Older versions of every point, to be replaced and merged away.
    for start in (0..3000).step_by(70) {
        pieces = pieces
            .with(segment(start..(start + 70).min(3000), 2))
            .tidied();
    }
    for start in (0..3000).step_by(13).rev() {
        pieces = pieces.with(segment(start..(start + 13).min(3000), 1));
        if start % 3 == 0 {
            pieces = pieces.tidied();
        }
    }
    assert_eq!((pieces.len(), whole.segments()), (3000, 1));
    assert_eq!(ask(&pieces, 100), ask(&whole, 100));
    let tidied = pieces.tidied();
    assert!(
        !tidied.is_untidy() && tidied.segments() < 40,
        "{}",
        tidied.segments()
    );
    assert_eq!(ask(&tidied, 100), ask(&whole, 100));
}

#[test]
fn removal_equals_never_having_been_there() {
    let full = Snapshot::default()
        .with(segment(0..500, 1))
        .with(segment(500..900, 1));
    let gone = (0..900)
        .filter(|n| n % 3 == 0)
        .filter_map(|n| full.locate(id(n)))
        .collect();
    let holed = full.without(gone);
    let fresh = Snapshot::default().with(segment((0..900).filter(|n| n % 3 != 0), 1));
    assert_eq!(ask(&holed, 50), ask(&fresh, 50));
    assert!(holed.is_untidy());
    let tidied = holed.tidied();
    assert_eq!(ask(&tidied, 50), ask(&fresh, 50));
    assert_eq!(tidied.count(&CompiledFilter::new(&Filter::default())), 600);
}

#[test]
fn a_shallow_list_is_a_prefix_of_a_deep_one() {
    let snapshot = Snapshot::default()
        .with(segment(0..500, 1))
        .with(segment(500..900, 1));
    let deep = search(
        &snapshot,
        &Plan {
            complete: false,
            ..plan(900)
        },
        &|| false,
    )
    .unwrap();
    for limit in [1, 7, 100] {
        let plan = Plan {
            complete: false,
            ..plan(limit)
        };
        let shallow = search(&snapshot, &plan, &|| false).unwrap();
        for (shallow, deep) in shallow.iter().zip(&deep) {
            assert_eq!(shallow[..], deep[..limit]);
        }
    }
}

#[test]
fn a_stopped_search_gives_nothing() {
    let snapshot = Snapshot::default().with(segment(0..10, 1));
    assert!(search(&snapshot, &plan(5), &|| true).is_none());
}
