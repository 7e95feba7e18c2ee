use proptest::prelude::*;
use touchstone_types::{FrozenClock, IdSource};

use super::*;

const TEXT: &str = "Первое предложение стоит здесь. The second one follows. Третье идёт следом. \
    The fourth one is last. Пятое всё-таки есть. And a sixth one.";

fn documents(count: usize) -> Vec<DocumentId> {
    let ids = IdSource::seeded(std::sync::Arc::new(FrozenClock::default()), 1);
    (0..count).map(|_| ids.next()).collect()
}

fn piece(document: DocumentId, start: usize, end: usize) -> Piece {
    let (start, end) = (
        TEXT.floor_char_boundary(start),
        TEXT.floor_char_boundary(end),
    );
    Piece {
        document,
        span: ByteSpan::new(start, end),
        text: TEXT[start..end].to_owned(),
    }
}

fn source(document: DocumentId, chunk: (usize, usize), parent: (usize, usize)) -> Source {
    Source {
        chunk: piece(document, chunk.0, chunk.1),
        parent: piece(document, parent.0, parent.1),
    }
}

#[test]
fn overlapping_parents_become_one_passage() {
    let id = documents(1)[0];
    let sources = [
        source(id, (10, 40), (0, 80)),
        source(id, (60, 100), (50, 130)),
    ];
    let (chosen, left) = assemble(
        &sources,
        Budget {
            chars: 1000,
            document_share: 0.5,
        },
    );
    assert_eq!(chosen.len(), 1);
    assert_eq!(chosen[0].piece, piece(id, 0, 130));
    assert_eq!(left, [(1, Left::Merged)]);
}

#[test]
fn one_document_gets_half_when_there_are_others() {
    let ids = documents(2);
    let sources = [
        source(ids[0], (0, 50), (0, 50)),
        source(ids[0], (60, 110), (60, 110)),
        source(ids[1], (0, 50), (0, 50)),
    ];
    let (chosen, left) = assemble(
        &sources,
        Budget {
            chars: 80,
            document_share: 0.5,
        },
    );
    assert_eq!(chosen.iter().map(|c| c.source).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(left, [(1, Left::Share)]);
    let (alone, _) = assemble(
        &sources[..2],
        Budget {
            chars: 80,
            document_share: 0.5,
        },
    );
    assert_eq!(alone.len(), 2);
}

#[test]
fn the_first_hit_is_cut_rather_than_left_out() {
    let id = documents(1)[0];
    let sources = [source(id, (0, TEXT.len()), (0, TEXT.len()))];
    let (chosen, _) = assemble(
        &sources,
        Budget {
            chars: 40,
            document_share: 0.5,
        },
    );
    assert_eq!(chosen[0].piece.text, "Первое предложение стоит здесь.");
}

proptest! {
    #[test]
    fn passages_are_byte_exact_apart_and_within_the_budget(
        places in prop::collection::vec((0..3_usize, 0..150_usize, 1..60_usize, 0..40_usize), 0..12),
        chars in 20..400_usize
    ) {
        let ids = documents(3);
        let sources: Vec<Source> = places
            .iter()
            .map(|(document, start, length, grow)| {
                let end = (start + length).min(TEXT.len());
                let parent = (start.saturating_sub(*grow), (end + grow).min(TEXT.len()));
                source(ids[*document], (*start, end), parent)
            })
            .filter(|source| !source.chunk.span.is_empty())
            .collect();
        let budget = Budget { chars, document_share: 0.5 };
        let (chosen, left) = assemble(&sources, budget);
        prop_assert_eq!(assemble(&sources, budget), (chosen.clone(), left));
        prop_assert_eq!(chosen.is_empty(), sources.is_empty());
        let total: usize = chosen.iter().map(|chosen| chosen.piece.chars()).sum();
        prop_assert!(total <= chars);
        for (at, one) in chosen.iter().enumerate() {
            prop_assert_eq!(one.piece.span.of(TEXT), Some(one.piece.text.as_str()));
            prop_assert!(chosen[..at].iter().all(|other| !touches(&other.piece, &one.piece)));
        }
        let documents: BTreeSet<_> = sources.iter().map(|source| source.chunk.document).collect();
        if documents.len() > 1 {
            for document in documents {
                let own: usize = chosen
                    .iter()
                    .filter(|chosen| chosen.piece.document == document)
                    .map(|chosen| chosen.piece.chars())
                    .sum();
                prop_assert!(own <= chars / 2);
            }
        }
    }
}
