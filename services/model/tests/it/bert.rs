//! Networks against numbers of the reference implementation (`transformers` 5.23 on torch 2.15,
//! weights drawn by the same formula as in `tiny`).

use std::path::Path;

use touchstone_api::embedding::EmbeddingKind;
use touchstone_model::runtime::bert::{Embedder, Options, Reranker};
use touchstone_model::runtime::{Budget, ComputeError, Prefixes};

use crate::tiny::{self, Head};

pub fn options(name: &str) -> Options {
    Options {
        name: name.to_owned(),
        prefixes: None,
        max_tokens: None,
        batch_tokens: 64,
    }
}

fn embed(model: &Embedder, texts: &[&str]) -> Vec<Vec<f32>> {
    let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
    let embedded = model
        .embed(&texts, EmbeddingKind::Passage, &Budget::default())
        .unwrap();
    for vector in &embedded.vectors {
        let length: f32 = vector.iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5, "not normalised: {length}");
    }
    embedded.vectors
}

fn assert_begins(vector: &[f32], expected: &[f32]) {
    for (value, expected) in vector.iter().zip(expected) {
        assert!(
            (value - expected).abs() < 5e-6,
            "{:?} and {expected}",
            &vector[..5]
        );
    }
}

fn load(make: impl Fn(&Path)) -> Embedder {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    Embedder::load(folder.path(), &options("tiny")).unwrap()
}

const TEXTS: [&str; 3] = ["The QUICK foxes run, running", " Привет,  мир! ", ""];

#[test]
fn mean_pooling_equals_the_reference_alone_and_in_a_padded_batch() {
    let model = load(|folder| tiny::bert(folder, "mean"));
    let expected = [
        [-0.196_441, 0.177_92, -0.053_336, -0.092_059, 0.276_168],
        [-0.1323, 0.303_671, -0.127_908, -0.141_022, 0.212_466],
        [-0.167_542, 0.122_623, 0.214_864, -0.055_886, 0.150_421],
    ];
    for (vector, expected) in embed(&model, &TEXTS).iter().zip(&expected) {
        assert_begins(vector, expected);
    }
    for (text, expected) in TEXTS.iter().zip(&expected) {
        assert_begins(&embed(&model, &[text])[0], expected);
    }
}

#[test]
fn first_token_and_maximum_pooling_equal_the_reference() {
    let model = load(|folder| tiny::bert(folder, "cls"));
    assert_begins(
        &embed(&model, &TEXTS)[1],
        &[-0.070_692, 0.213_947, 0.262_225, -0.238_459, -0.073_777],
    );
    let model = load(|folder| tiny::bert(folder, "max"));
    assert_begins(
        &embed(&model, &TEXTS)[1],
        &[0.031_356, 0.217_259, 0.226_776, 0.089_954, 0.333_246],
    );
}

#[test]
fn roberta_positions_begin_after_the_padding_id() {
    let model = load(|folder| tiny::xlm_roberta(folder, Head::None));
    let vectors = embed(&model, &["x5 x6 x7", "x9"]);
    assert_begins(
        &vectors[0],
        &[-0.257_509, 0.068_692, -0.005_306, -0.152_505, 0.070_643],
    );
    assert_begins(
        &vectors[1],
        &[-0.228_133, 0.054_705, 0.007_46, -0.016_984, -0.058_005],
    );
    // 40 rows of positions, two of them before the first token.
    assert_eq!(model.max_tokens(), 38);
}

#[test]
fn long_texts_are_cut_at_the_longest_input() {
    let model = load(|folder| tiny::bert(folder, "mean"));
    let long = "fox ".repeat(500);
    let cut = "fox ".repeat(38);
    let vectors = embed(&model, &[&long, &cut]);
    assert_begins(&vectors[0], &vectors[1]);
    let input = [long];
    let embedded = model
        .embed(&input, EmbeddingKind::Query, &Budget::default())
        .unwrap();
    assert_eq!(embedded.tokens, 40);
}

#[test]
fn e5_models_get_their_prefixes_and_configured_ones_win() {
    let folder = tempfile::tempdir().unwrap();
    tiny::bert(folder.path(), "mean");
    let vector = |options: &Options, text: &str, kind| {
        let model = Embedder::load(folder.path(), options).unwrap();
        model
            .embed(&[text.to_owned()], kind, &Budget::default())
            .unwrap()
            .vectors
            .remove(0)
    };
    let (plain, e5) = (options("plain"), options("tiny-e5"));
    let passage = vector(&e5, "fox", EmbeddingKind::Passage);
    assert_eq!(
        passage,
        vector(&plain, "passage: fox", EmbeddingKind::Query)
    );
    let prefixes = Prefixes {
        query: "the ".to_owned(),
        passage: String::new(),
    };
    let own = Options {
        prefixes: Some(prefixes),
        ..e5
    };
    let query = vector(&own, "fox", EmbeddingKind::Query);
    assert_eq!(query, vector(&plain, "the fox", EmbeddingKind::Query));
    assert_ne!(query, vector(&own, "fox", EmbeddingKind::Passage));
}

#[test]
fn cross_encoders_equal_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    tiny::bert_reranker(folder.path());
    let model = Reranker::load(folder.path(), &options("cross")).unwrap();
    let texts = ["the quick dog is big".to_owned(), "berlin".to_owned()];
    let scores = model.rerank("the fox", &texts, &Budget::default()).unwrap();
    assert_begins(&scores, &[0.521_727, 0.491_188]);

    let folder = tempfile::tempdir().unwrap();
    tiny::xlm_roberta(folder.path(), Head::Roberta);
    let model = Reranker::load(folder.path(), &options("cross")).unwrap();
    let scores = model
        .rerank("x5 x6", &["x7 x8".to_owned()], &Budget::default())
        .unwrap();
    assert_begins(&scores, &[0.103_081]);
}

#[test]
fn nothing_is_computed_for_somebody_who_left() {
    let model = load(|folder| tiny::bert(folder, "mean"));
    let budget = Budget::default();
    drop(budget.guard());
    let result = model.embed(&["fox".to_owned()], EmbeddingKind::Query, &budget);
    assert!(matches!(result, Err(ComputeError::Cancelled)));
}
