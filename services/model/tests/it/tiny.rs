//! Makes tiny networks with known weights.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;

/// Vocabulary of the WordPiece models.
pub const VOCABULARY: &str = "[PAD] [UNK] [CLS] [SEP] [MASK] the quick fox ##es run ##ning , \
    berlin is big a при ##вет мир ! ? 2 ##0 dog";
pub const WIDTH: usize = 32;

/// Numbers in [-0.25, 0.25) by the tensor's name; the reference script draws the same.
fn fill(name: &str, count: usize) -> Vec<f32> {
    let mut state = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let base = if name.ends_with("LayerNorm.weight") {
        1.0
    } else {
        0.0
    };
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as f32 / 8_388_608.0 - 1.0) * 0.25 + base
        })
        .collect()
}

/// Which head stands on the encoder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Head {
    None,
    Bert,
    Roberta,
}

fn shapes(prefix: &str, segments: usize, head: Head) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = BTreeMap::new();
    let mut add = |name: String, shape: &[usize]| {
        shapes.insert(name, shape.to_vec());
    };
    add(
        format!("{prefix}embeddings.word_embeddings.weight"),
        &[24, WIDTH],
    );
    add(
        format!("{prefix}embeddings.position_embeddings.weight"),
        &[40, WIDTH],
    );
    add(
        format!("{prefix}embeddings.token_type_embeddings.weight"),
        &[segments, WIDTH],
    );
    let mut pairs = vec![(format!("{prefix}embeddings.LayerNorm"), vec![WIDTH])];
    for layer in 0..2 {
        let layer = format!("{prefix}encoder.layer.{layer}");
        for name in ["self.query", "self.key", "self.value", "output.dense"] {
            pairs.push((format!("{layer}.attention.{name}"), vec![WIDTH, WIDTH]));
        }
        pairs.push((format!("{layer}.attention.output.LayerNorm"), vec![WIDTH]));
        pairs.push((format!("{layer}.intermediate.dense"), vec![64, WIDTH]));
        pairs.push((format!("{layer}.output.dense"), vec![WIDTH, 64]));
        pairs.push((format!("{layer}.output.LayerNorm"), vec![WIDTH]));
    }
    match head {
        Head::None => {}
        Head::Bert => {
            pairs.push((format!("{prefix}pooler.dense"), vec![WIDTH, WIDTH]));
            pairs.push(("classifier".to_owned(), vec![1, WIDTH]));
        }
        Head::Roberta => {
            pairs.push(("classifier.dense".to_owned(), vec![WIDTH, WIDTH]));
            pairs.push(("classifier.out_proj".to_owned(), vec![1, WIDTH]));
        }
    }
    for (name, shape) in pairs {
        add(format!("{name}.bias"), &shape[..1]);
        add(format!("{name}.weight"), &shape);
    }
    shapes
}

fn write_weights(path: &Path, shapes: &BTreeMap<String, Vec<usize>>) {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut data = Vec::new();
    for (name, shape) in shapes {
        let start = data.len();
        for value in fill(name, shape.iter().product()) {
            data.extend_from_slice(&value.to_le_bytes());
        }
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name.clone(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    fs::write(path, file).unwrap();
}

fn config(model_type: &str, architecture: &str, segments: usize) -> serde_json::Value {
    json!({
        "architectures": [architecture], "model_type": model_type, "vocab_size": 24,
        "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "hidden_act": "gelu", "max_position_embeddings": 40,
        "type_vocab_size": segments,
        "layer_norm_eps": if segments == 1 { 1e-5 } else { 1e-12 },
        "pad_token_id": i32::from(segments == 1),
    })
}

fn write_json(folder: &Path, name: &str, value: &serde_json::Value) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, serde_json::to_vec(value).unwrap()).unwrap();
}

/// A BERT with a WordPiece vocabulary; `pooling` is `cls`, `mean`, `max`.
pub fn bert(folder: &Path, pooling: &str) {
    write_json(folder, "config.json", &config("bert", "BertModel", 2));
    let mode = if pooling == "cls" {
        "cls_token"
    } else {
        &format!("{pooling}_tokens")
    };
    write_json(
        folder,
        "1_Pooling/config.json",
        &json!({format!("pooling_mode_{mode}"): true}),
    );
    write_vocabulary(folder);
    write_weights(
        &folder.join("model.safetensors"),
        &shapes("", 2, Head::None),
    );
}

/// A cross-encoder on a BERT.
pub fn bert_reranker(folder: &Path) {
    let config = config("bert", "BertForSequenceClassification", 2);
    write_json(folder, "config.json", &config);
    write_vocabulary(folder);
    write_weights(
        &folder.join("model.safetensors"),
        &shapes("bert.", 2, Head::Bert),
    );
}

fn write_vocabulary(folder: &Path) {
    let lines: Vec<_> = VOCABULARY.split_whitespace().collect();
    fs::write(folder.join("vocab.txt"), lines.join("\n")).unwrap();
}

/// An XLM-R, whose positions begin after the padding id, with a `tokenizer.json`.
pub fn xlm_roberta(folder: &Path, head: Head) {
    let (architecture, prefix) = match head {
        Head::None => ("XLMRobertaModel", ""),
        _ => ("XLMRobertaForSequenceClassification", "roberta."),
    };
    write_json(
        folder,
        "config.json",
        &config("xlm-roberta", architecture, 1),
    );
    let words = [
        "<s>", "<pad>", "</s>", "<unk>", "x4", "x5", "x6", "x7", "x8", "x9",
    ];
    let vocabulary: BTreeMap<_, _> = words
        .iter()
        .enumerate()
        .map(|(id, word)| (*word, id))
        .collect();
    let special = |name: &str| json!({"SpecialToken": {"id": name, "type_id": 0}});
    let text = |name: &str, kind: u32| json!({"Sequence": {"id": name, "type_id": kind}});
    write_json(
        folder,
        "tokenizer.json",
        &json!({
            "version": "1.0", "truncation": null,
            "padding": {"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": null,
                "pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>"},
            "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": {"type": "TemplateProcessing",
                "single": [special("<s>"), text("A", 0), special("</s>")],
                "pair": [special("<s>"), text("A", 0), special("</s>"), special("</s>"),
                    text("B", 1), special("</s>")],
                "special_tokens": {
                    "<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
                    "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}},
            "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
        }),
    );
    write_weights(&folder.join("model.safetensors"), &shapes(prefix, 1, head));
}
