use proptest::prelude::*;

use super::sample::{passages, rivers};
use super::*;

fn gate(question: &str, passages: Vec<Passage>, answer: &str) -> Vec<Claim> {
    let mut gate = Gate::new(question, passages, 0.6);
    let mut claims = gate.push(answer);
    claims.extend(gate.finish());
    claims
}

fn verdict(answer: &str) -> Option<Verdict> {
    let claims = gate("How long is the Nile?", rivers(), answer);
    assert_eq!(claims.len(), 1, "{claims:#?}");
    claims[0].verdict
}

#[test]
fn tells_sound_claims_from_unsound_ones() {
    use Verdict::{Exact, Fabricated, Frankenquote, Fuzzy, Misattributed, UnsupportedNumber};
    for (answer, expected) in [
        (
            "It is 6,650 km long and flows through eleven countries. [1]",
            Exact,
        ),
        ("It is said that “It is 6,650 km long” [1].", Exact),
        (
            "The source states: “it is 6650 km long, and flows” [1].",
            Fuzzy,
        ),
        (
            "“The Nile is a river … flows through eleven countries” [1].",
            Fuzzy,
        ),
        ("The Nile flows through eleven countries [1].", Fuzzy),
        ("“It is 6,650 km long” [2].", Misattributed),
        (
            "The Nile flows through eleven countries [2].",
            Misattributed,
        ),
        ("“It is 6,650 km long” [7].", Fabricated),
        (
            "“It is 6,850 km long and flows through eleven countries” [1].",
            UnsupportedNumber,
        ),
        (
            "The Nile flows through 14 countries [1].",
            UnsupportedNumber,
        ),
        ("Its tributaries meet in Cairo [1].", UnsupportedNumber),
        ("In 1999 “It is 6,650 km long” [1].", UnsupportedNumber),
        (
            "“It is 6,650 km long and more water than any other river” [1].",
            Frankenquote,
        ),
        ("“The Nile was dug by giants long ago” [1].", Fabricated),
        (
            "Scholars widely agree that trends continue to accelerate [1].",
            Fabricated,
        ),
        (
            "Scholars widely agree that trends continue to accelerate.",
            Fabricated,
        ),
        ("The Nile is a river in Africa.", Exact),
    ] {
        assert_eq!(verdict(answer), Some(expected), "{answer}");
    }
    assert_eq!(verdict("Here is what I found:"), None);
    assert_eq!(verdict("Yes."), None);
}

#[test]
fn evidence_is_where_the_words_stand() {
    let claims = gate(
        "?",
        rivers(),
        "“it is 6650 KM long” [1]. Herodotus called Egypt \"the gift of the Nile\". [1]",
    );
    let sources = rivers();
    let texts: Vec<_> = claims
        .iter()
        .flat_map(|claim| &claim.evidence)
        .map(|evidence| evidence.span.of(&sources[evidence.passage].text).unwrap())
        .collect();
    assert_eq!(
        texts,
        [
            "It is 6,650 km long",
            "Herodotus called Egypt \"the gift of the Nile\"."
        ]
    );
}

#[test]
fn a_mark_without_support_is_taken_out_of_a_sound_claim() {
    let claims = gate("?", rivers(), "The Nile is a river in Africa. [1] [2]");
    assert_eq!(claims[0].text, "The Nile is a river in Africa. [1]");
    assert!(claims[0].is_kept());
}

#[test]
fn a_swap_of_marks_between_two_quotations_is_caught() {
    let claims = gate(
        "?",
        rivers(),
        "“It is 6,650 km long” [2] while it “carries more water than any other river” [1].",
    );
    assert_eq!(claims[0].verdict, Some(Verdict::Misattributed));
}

#[test]
fn a_quotation_of_several_sentences_is_one_claim() {
    let answer =
        "The text says: “The Nile is a river in Africa. It is 6,650 km long” [1]. Next one.";
    let claims = gate("?", rivers(), answer);
    assert_eq!(claims[0].verdict, Some(Verdict::Exact), "{claims:#?}");
    assert_eq!(claims.len(), 2);
    assert_eq!(
        claims.iter().map(|claim| claim.stream.len()).sum::<usize>(),
        answer.len()
    );
}

#[test]
fn a_sound_neighbour_does_not_carry_an_ungrounded_sentence() {
    let claims = gate(
        "?",
        rivers(),
        "Scholars widely agree that trends accelerate. The source states: “It is 6,650 km long” [1].",
    );
    let kept: Vec<_> = claims.iter().map(Claim::is_kept).collect();
    assert_eq!(kept, [false, true]);
}

#[test]
fn understands_russian() {
    let sources = || {
        passages(&["Нил — река в Африке. Её длина 6650 км, она протекает через одиннадцать стран."])
    };
    for (answer, sound) in [
        ("Согласно документам, «Её длина 6650 км» [1].", true),
        (
            "Согласно документам, «ее длина 6650 км, она протекает» [1].",
            true,
        ),
        ("Длина реки 6650 км [1].", true),
        ("Длина реки 6950 км [1].", false),
        (
            "Учёные сходятся во мнении, что тенденция будет усиливаться [1].",
            false,
        ),
    ] {
        let claims = gate("Какова длина Нила?", sources(), answer);
        assert_eq!(claims[0].is_kept(), sound, "{answer} {claims:?}");
    }
}

proptest! {
    #[test]
    fn every_delivered_quote_is_byte_exact_and_nothing_of_the_stream_is_lost(
        answer in "(“|”|«|»|\"|The Nile |is a river|It is 6,650 km long| and |1541|\\. |\\[1\\]|\\[2\\]|\\[9\\]|\n|Francisco |… ){0,25}",
        cut in 0_usize..200,
    ) {
        let sources = rivers();
        let cut = (0..=cut.min(answer.len())).rev().find(|at| answer.is_char_boundary(*at)).unwrap();
        let mut gate = Gate::new("How long is the Nile?", sources.clone(), 0.6);
        let mut claims = gate.push(&answer[..cut]);
        claims.extend(gate.push(&answer[cut..]));
        claims.extend(gate.finish());
        prop_assert_eq!(&claims, &super::tests::gate("How long is the Nile?", sources.clone(), &answer));
        let covered: usize = claims.iter().map(|claim| claim.stream.len()).sum();
        prop_assert_eq!(covered, answer.len());
        for claim in &claims {
            for evidence in &claim.evidence {
                prop_assert!(claim.is_kept());
                let source = &sources[evidence.passage];
                let quote = evidence.span.of(&source.text);
                prop_assert!(quote.is_some_and(|quote| !quote.is_empty()), "{:?}", evidence);
                prop_assert_eq!(source.marker, evidence.marker);
            }
        }
    }
}
