use super::*;

fn dot(query: &SparseVector, passage: &SparseVector) -> f32 {
    query
        .iter()
        .filter_map(|(index, weight)| {
            let at = passage.indices.binary_search(&index).ok()?;
            Some(weight * passage.values[at])
        })
        .sum()
}

#[test]
fn an_inflected_question_finds_its_passage() {
    let encoder = LexicalEncoder::default();
    let nile = encoder.encode_passage("Нил течёт на север через одиннадцать стран.", None);
    let bread = encoder.encode_passage("Хлеб пекут каждый день.", None);
    let query = encoder.encode_query("Куда течет Нил, в какую страну?", None);
    assert_eq!(nile.language, Language::Ru);
    assert!(dot(&query.bm25, &nile.bm25) > dot(&query.bm25, &bread.bm25));
}

#[test]
fn vectors_are_valid_and_repeatable() {
    let encoder = LexicalEncoder::new(LexicalParams {
        char_grams: 16,
        ..LexicalParams::default()
    });
    for text in [
        "",
        " ",
        "one",
        "a a a b",
        "Ёжик и ёлка, и ёжик.",
        "東京 タワー",
    ] {
        let first = encoder.encode_passage(text, None);
        assert_eq!(first, encoder.encode_passage(text, None));
        for vector in [&first.bm25, &first.chars] {
            assert_eq!(vector.validate(), Ok(()));
        }
        assert!(first.chars.len() <= 16);
    }
}

#[test]
fn indices_are_the_same_in_every_release() {
    let vector = LexicalEncoder::default()
        .encode_passage("river", Some(Language::En))
        .bm25;
    assert_eq!(vector.indices, [RIVER]);
}

#[test]
fn frequent_terms_saturate_and_long_passages_are_held_back() {
    let encoder = LexicalEncoder::new(LexicalParams {
        average_tokens: 4.0,
        ..Default::default()
    });
    let weight = |text: &str| {
        let query = encoder.encode_query("river", Some(Language::En)).bm25;
        dot(
            &query,
            &encoder.encode_passage(text, Some(Language::En)).bm25,
        )
    };
    let once = weight("river a b c");
    let twice = weight("river river b c");
    assert!(once < twice && twice < 2.0 * once);
    assert!(weight("river a b c d e f g h i j k") < once);
}

#[test]
fn a_short_question_is_stemmed_by_every_language_it_may_be_in() {
    let encoder = LexicalEncoder::default();
    let passage = encoder.encode_passage("Die Häuser der Stadt sind alt.", Some(Language::De));
    let query = encoder.encode_query("alte Häuser in der Stadt", None);
    assert!(dot(&query.bm25, &passage.bm25) > 3.0);
}

const RIVER: u32 = 4_231_933_542;
