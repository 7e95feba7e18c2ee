//! Folders that are damaged are refused with a reason, never with a panic.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use touchstone_model::runtime::LoadError;
use touchstone_model::runtime::bert::{Embedder, Reranker};

use crate::bert::options;
use crate::tiny::{self, Head};

fn refusal(change: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    tiny::bert(folder.path(), "mean");
    change(folder.path());
    let error = Embedder::load(folder.path(), &options("tiny")).unwrap_err();
    touchstone_error::chain(&error).to_string()
}

fn edit(folder: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(folder.join(name)).unwrap();
    change(&mut bytes);
    fs::write(folder.join(name), bytes).unwrap();
}

fn replace(folder: &Path, name: &str, from: &str, to: &str) {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    assert!(text.contains(from));
    fs::write(folder.join(name), text.replace(from, to)).unwrap();
}

const WEIGHTS: &str = "model.safetensors";

#[test]
fn each_damage_has_its_reason() {
    let told = |expected: &str, change: fn(&Path)| {
        let reason = refusal(change);
        assert!(
            reason.contains(expected),
            "{reason:?} does not tell {expected:?}"
        );
    };
    told("its length differs", |folder| {
        edit(folder, WEIGHTS, |bytes| bytes.push(0));
    });
    told("does not lie inside", |folder| {
        edit(folder, WEIGHTS, |bytes| bytes.truncate(9000));
    });
    told("shorter than its header", |folder| {
        edit(folder, WEIGHTS, |bytes| bytes.truncate(4));
    });
    told("claims more bytes", |folder| {
        edit(folder, WEIGHTS, |bytes| bytes[7] = 0xff);
    });
    told("not JSON", |folder| {
        edit(folder, WEIGHTS, |bytes| bytes[8] = b'x');
    });
    told("not finite", |folder| {
        edit(folder, WEIGHTS, |bytes| {
            let end = bytes.len();
            bytes[end - 4000..].fill(0xff);
        });
    });
    told("`*.safetensors` is missing", |folder| {
        fs::remove_file(folder.join(WEIGHTS)).unwrap();
    });
    told("`config.json` is missing", |folder| {
        fs::remove_file(folder.join("config.json")).unwrap();
    });
    told("`config.json` is damaged", |folder| {
        fs::write(folder.join("config.json"), "{").unwrap();
    });
    told("model type `gpt2`", |folder| {
        replace(folder, "config.json", "\"bert\"", "\"gpt2\"");
    });
    told("do not divide", |folder| {
        replace(
            folder,
            "config.json",
            "\"num_attention_heads\":4",
            "\"num_attention_heads\":5",
        );
    });
    told("has the shape", |folder| {
        replace(
            folder,
            "config.json",
            "\"vocab_size\":24",
            "\"vocab_size\":25",
        );
    });
    told("encoder.layer.2", |folder| {
        replace(
            folder,
            "config.json",
            "\"num_hidden_layers\":2",
            "\"num_hidden_layers\":3",
        );
    });
    told("`tokenizer.json` is missing", |folder| {
        fs::remove_file(folder.join("vocab.txt")).unwrap();
    });
    told("`[SEP]` is missing", |folder| {
        fs::write(folder.join("vocab.txt"), "a\nb").unwrap();
    });
    told("pooling by `weightedmean`", |folder| {
        let config = "{\"pooling_mode_weightedmean_tokens\":true}";
        fs::write(folder.join("1_Pooling/config.json"), config).unwrap();
    });
    told("the module `Dense`", |folder| {
        let modules = "[{\"type\":\"sentence_transformers.models.Dense\"}]";
        fs::write(folder.join("modules.json"), modules).unwrap();
    });
    told("SHA-256 differs", |folder| {
        fs::write(
            folder.join("SHA256SUMS"),
            format!("{}  {WEIGHTS}\n", "0".repeat(64)),
        )
        .unwrap();
    });
}

#[test]
fn an_embedder_is_no_reranker() {
    let folder = tempfile::tempdir().unwrap();
    tiny::xlm_roberta(folder.path(), Head::None);
    let error = Reranker::load(folder.path(), &options("tiny")).unwrap_err();
    assert!(matches!(error, LoadError::Tensor { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]
    #[test]
    fn flipped_bits_anywhere_never_panic(places in prop::collection::vec((0_usize..8192, 0_u8..8), 1..8)) {
        let folder = tempfile::tempdir().unwrap();
        tiny::bert(folder.path(), "mean");
        edit(folder.path(), WEIGHTS, |bytes| {
            for (place, bit) in places {
                bytes[place] ^= 1 << bit;
            }
        });
        // Loaded or refused, both are fine.
        let _ = Embedder::load(folder.path(), &options("tiny"));
    }
}
