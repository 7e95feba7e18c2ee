//! all-MiniLM-L6-v2 against sentence-transformers. The weights are not part of the project.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use touchstone_api::embedding::EmbeddingKind;
use touchstone_model::runtime::Budget;
use touchstone_model::runtime::bert::{Embedder, Options};

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    /// Little-endian `f32`.
    vector: String,
}

#[test]
fn minilm_equals_sentence_transformers_to_1e_4() {
    let Some(folder) = touchstone_config::variable("TOUCHSTONE_MINILM_DIR") else {
        eprintln!("SKIPPED: set TOUCHSTONE_MINILM_DIR to a folder with all-MiniLM-L6-v2");
        return;
    };
    let reference: Reference =
        serde_json::from_str(include_str!("../fixtures/all-minilm-l6-v2.json")).unwrap();
    let options = Options {
        name: "all-MiniLM-L6-v2".to_owned(),
        prefixes: None,
        max_tokens: None,
        batch_tokens: 1024,
    };
    let model = Embedder::load(&PathBuf::from(folder), &options).unwrap();
    assert_eq!((model.dimension(), model.max_tokens()), (384, 256));
    let texts: Vec<_> = reference
        .cases
        .iter()
        .map(|case| case.text.clone())
        .collect();
    let together = model
        .embed(&texts, EmbeddingKind::Passage, &Budget::default())
        .unwrap();
    let mut worst = 0.0_f32;
    for (case, batched) in reference.cases.iter().zip(&together.vectors) {
        let bytes = STANDARD.decode(&case.vector).unwrap();
        let expected: Vec<_> = bytes
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        let one = std::slice::from_ref(&case.text);
        let alone = model
            .embed(one, EmbeddingKind::Query, &Budget::default())
            .unwrap();
        for vector in [batched, &alone.vectors[0]] {
            assert_eq!(vector.len(), expected.len());
            let difference = vector
                .iter()
                .zip(&expected)
                .map(|(ours, theirs)| (ours - theirs).abs())
                .fold(0.0, f32::max);
            worst = worst.max(difference);
            assert!(difference < 1e-4, "{difference} for {:?}", case.text);
        }
    }
    println!(
        "{} texts, largest difference {worst:e}",
        reference.cases.len()
    );
}
