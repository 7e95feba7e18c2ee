use proptest::prelude::*;

use super::*;

fn params(target_chars: usize, max_chars: usize) -> ChunkParams {
    ChunkParams {
        target_chars,
        overlap_sentences: 1,
        max_chars,
    }
}

fn pieces(text: &str, headings: &[Heading], params: ChunkParams) -> Vec<String> {
    chunk(text, headings, params)
        .iter()
        .map(|c| c.span.of(text).unwrap().to_owned())
        .collect()
}

fn heading(text: &str, name: &str) -> Heading {
    Heading {
        offset: text.find(name).unwrap(),
        level: 1,
        text: name.to_owned(),
    }
}

#[test]
fn chunks_are_whole_sentences_and_repeat_the_last_one() {
    let text = "Alpha is one. Beta is two. Gamma is three. Delta is four. Omega is five.";
    assert_eq!(
        pieces(text, &[], params(30, 60)),
        [
            "Alpha is one. Beta is two.",
            "Beta is two. Gamma is three. Delta is four.",
            "Delta is four. Omega is five.",
        ]
    );
    assert_eq!(pieces(text, &[], ChunkParams::default()), [text]);
}

#[test]
fn a_heading_starts_a_chunk_and_nothing_is_repeated_across_it() {
    let text = "Preface is here for all.\n\n# Rivers\n\nThe Nile is long. The Volga too.\n\n# Seas\n\nDeep.";
    let headings = [heading(text, "# Rivers"), heading(text, "# Seas")];
    let chunks = chunk(text, &headings, params(80, 120));
    let found: Vec<_> = chunks
        .iter()
        .map(|c| (c.span.of(text).unwrap(), c.heading))
        .collect();
    assert_eq!(
        found,
        [
            ("Preface is here for all.", None),
            ("# Rivers\n\nThe Nile is long. The Volga too.", Some(0)),
            ("# Seas\n\nDeep.", Some(1)),
        ]
    );
}

#[test]
fn small_sections_share_a_chunk() {
    let text = "# A\n\nx.\n\n# B\n\ny.";
    let chunks = chunk(
        text,
        &[heading(text, "# A"), heading(text, "# B")],
        ChunkParams::default(),
    );
    assert_eq!(chunks.len(), 1);
    assert_eq!(chunks[0].heading, Some(0));
}

#[test]
fn a_sentence_that_is_too_long_is_split_at_white_space() {
    let text = "слово ".repeat(100);
    let found = pieces(&text, &[], params(50, 80));
    assert!(found.len() > 5);
    assert!(
        found
            .iter()
            .all(|piece| piece.split(' ').all(|word| word == "слово"))
    );
    let solid = "я".repeat(200);
    assert_eq!(pieces(&solid, &[], params(50, 80)).concat(), solid);
}

#[test]
fn a_short_rest_joins_the_last_chunk() {
    let text = format!("{}. Short.", "a".repeat(95));
    assert_eq!(pieces(&text, &[], params(96, 150)).len(), 1);
}

#[test]
fn blank_text_has_no_chunks() {
    assert!(chunk("", &[], ChunkParams::default()).is_empty());
    assert!(chunk(" \n\t ", &[], ChunkParams::default()).is_empty());
}

#[test]
fn usual_prose_makes_chunks_of_about_the_target() {
    let text = "The river flows through eleven countries on its way to the sea. ".repeat(500);
    let sizes: Vec<usize> = pieces(&text, &[], ChunkParams::default())
        .iter()
        .map(|c| c.chars().count())
        .collect();
    let inner = &sizes[..sizes.len() - 1];
    assert!(
        inner.iter().all(|size| (700..=900).contains(size)),
        "{sizes:?}"
    );
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,400}",
        "([a-zа-я]{1,9}[ .!?]{1,2}|[А-ЯA-Z][a-zа-я]{0,12}|\n{1,3}|\\r\\n|- |# |[ \t]{1,40}){0,200}",
        "[ \\n\\u{a0}\\u{200b}\\u{301}.👩\\u{200d}👧漢。]{0,300}",
        "[a-z]{0,3000}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn chunks_are_exact_ordered_complete_and_bounded(
        text in texts(),
        marks in prop::collection::vec(0_usize..500, 0..6),
        target in 1_usize..300,
        slack in 0_usize..200,
        overlap in 0_usize..4,
    ) {
        let mut marks: Vec<usize> = marks.into_iter().map(|m| text.floor_char_boundary(m.min(text.len()))).collect();
        marks.sort_unstable();
        let headings: Vec<Heading> =
            marks.into_iter().map(|offset| Heading { offset, level: 2, text: "h".into() }).collect();
        let params = ChunkParams { target_chars: target, overlap_sentences: overlap, max_chars: target + slack };
        let chunks = chunk(&text, &headings, params);
        prop_assert_eq!(&chunks, &chunk(&text, &headings, params));

        let mut covered = 0;
        let (mut last_start, mut last_end) = (None, 0);
        for (at, chunk) in chunks.iter().enumerate() {
            prop_assert_eq!(chunk.ordinal as usize, at);
            let piece = chunk.span.of(&text);
            prop_assert!(piece.is_some_and(|p| !p.is_empty() && p.trim() == p));
            prop_assert!(piece.unwrap().chars().count() <= target + slack);
            prop_assert!(last_start.is_none_or(|start| start < chunk.span.start));
            prop_assert!(last_end < chunk.span.end);
            prop_assert!(chunk.heading.is_none_or(|h| h < headings.len()));
            // Nothing but white space lies between two chunks.
            let gap = text.get(last_end..chunk.span.start.max(last_end)).unwrap();
            prop_assert!(gap.trim().is_empty());
            covered += text[chunk.span.start.max(last_end)..chunk.span.end].chars().filter(|c| !c.is_whitespace()).count();
            (last_start, last_end) = (Some(chunk.span.start), chunk.span.end);
        }
        prop_assert_eq!(covered, text.chars().filter(|c| !c.is_whitespace()).count());
    }
}
