//! What a model's folder says about the model, apart from its weights.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use touchstone_api::model::ModelTask;

use crate::runtime::{LoadError, Prefixes};

/// Largest JSON file that is read, tokenizer included.
const JSON_LIMIT_BYTES: u64 = 64 << 20;

/// `config.json` of a BERT-family network.
#[derive(Debug, Clone, Deserialize)]
pub struct NetworkConfig {
    /// `bert`, `roberta`, `xlm-roberta`, `camembert`.
    #[serde(default = "bert")]
    pub model_type: String,
    /// Class names; the last word says what the head is.
    #[serde(default)]
    pub architectures: Vec<String>,
    /// Rows of the word embedding.
    pub vocab_size: usize,
    /// Width.
    pub hidden_size: usize,
    /// Depth.
    pub num_hidden_layers: usize,
    /// Attention heads; divides the width.
    pub num_attention_heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Activation of the feed-forward layer.
    #[serde(default = "gelu")]
    pub hidden_act: String,
    /// Rows of the position embedding.
    pub max_position_embeddings: usize,
    /// Rows of the segment embedding.
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    /// Epsilon of the layer norms.
    #[serde(default = "epsilon")]
    pub layer_norm_eps: f64,
    /// Id of the padding token.
    #[serde(default)]
    pub pad_token_id: Option<u32>,
    /// Only `absolute` is known.
    #[serde(default)]
    pub position_embedding_type: Option<String>,
}

fn bert() -> String {
    "bert".to_owned()
}

fn gelu() -> String {
    "gelu".to_owned()
}

const fn two() -> usize {
    2
}

const fn epsilon() -> f64 {
    1e-12
}

impl NetworkConfig {
    /// Reads and checks `config.json`.
    pub fn read(folder: &Path) -> Result<Self, LoadError> {
        let config: Self = read_json(folder, "config.json")?
            .ok_or_else(|| LoadError::Missing("config.json".to_owned()))?;
        let unsupported = |what: String| Err(LoadError::Unsupported(what));
        if !matches!(
            config.model_type.as_str(),
            "bert" | "roberta" | "xlm-roberta" | "camembert"
        ) {
            return unsupported(format!(
                "model type `{}`; bert, roberta, xlm-roberta and camembert are",
                config.model_type
            ));
        }
        if !matches!(
            config.hidden_act.as_str(),
            "gelu" | "relu" | "gelu_new" | "gelu_pytorch_tanh"
        ) {
            return unsupported(format!("activation `{}`", config.hidden_act));
        }
        if config
            .position_embedding_type
            .as_deref()
            .is_some_and(|kind| kind != "absolute")
        {
            return unsupported("position embeddings that are not absolute".to_owned());
        }
        let heads = config.num_attention_heads;
        if heads == 0 || config.hidden_size == 0 || !config.hidden_size.is_multiple_of(heads) {
            return unsupported("a width that its attention heads do not divide".to_owned());
        }
        Ok(config)
    }

    /// What the network's head is for.
    pub fn task(&self) -> ModelTask {
        if self
            .architectures
            .iter()
            .any(|name| name.ends_with("ForSequenceClassification"))
        {
            ModelTask::Rerank
        } else {
            ModelTask::Embed
        }
    }

    /// Position of the first token: the RoBERTa family counts from after the padding id.
    pub fn first_position(&self) -> usize {
        if self.model_type == "bert" {
            0
        } else {
            self.pad_token_id.unwrap_or(1) as usize + 1
        }
    }
}

/// How token vectors become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Mean of all tokens.
    Mean,
    /// The first token.
    First,
    /// Maximum of each dimension.
    Max,
}

/// The sentence-transformers files.
#[derive(Debug, Clone)]
pub struct Sentence {
    /// How token vectors become one.
    pub pooling: Pooling,
    /// Longest input in tokens, special tokens included.
    pub max_tokens: usize,
    /// Lower-case before tokenizing.
    pub lowercase: bool,
    /// What is put before queries and passages.
    pub prefixes: Prefixes,
}

/// One flag per way of pooling, `pooling_mode_mean_tokens`, or newer just `pooling_mode`.
type PoolingFile = std::collections::BTreeMap<String, serde_json::Value>;

#[derive(Deserialize)]
struct SentenceFile {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(Deserialize)]
struct PromptFile {
    #[serde(default)]
    prompts: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    class: String,
}

#[derive(Deserialize)]
struct TokenizerFile {
    model_max_length: Option<f64>,
}

impl Sentence {
    /// Reads the files that exist; `name` tells the e5 family, whose prefixes are in no file.
    pub fn read(folder: &Path, network: &NetworkConfig, name: &str) -> Result<Self, LoadError> {
        for module in read_json::<Vec<Module>>(folder, "modules.json")?.unwrap_or_default() {
            let class = module.class.rsplit('.').next().unwrap_or_default();
            if !matches!(class, "Transformer" | "Pooling" | "Normalize") {
                return Err(LoadError::Unsupported(format!("the module `{class}`")));
            }
        }
        let pooling = match read_json::<PoolingFile>(folder, "1_Pooling/config.json")? {
            None => Pooling::Mean,
            Some(file) => pooling(&file)?,
        };
        let sentence = read_json::<SentenceFile>(folder, "sentence_bert_config.json")?;
        let tokenizer = read_json::<TokenizerFile>(folder, "tokenizer_config.json")?;
        let prompts = read_json::<PromptFile>(folder, "config_sentence_transformers.json")?;
        let positions = network
            .max_position_embeddings
            .saturating_sub(network.first_position());
        let max_tokens = sentence
            .as_ref()
            .and_then(|file| file.max_seq_length)
            .or_else(|| {
                // "No limit" is written as 1e30.
                let limit = tokenizer.as_ref()?.model_max_length?;
                (limit < 1e6).then_some(limit.max(0.0) as usize)
            })
            .unwrap_or(positions)
            .min(positions);
        if max_tokens < 8 {
            return Err(LoadError::Unsupported(
                "a longest input under 8 tokens".to_owned(),
            ));
        }
        Ok(Self {
            pooling,
            max_tokens,
            lowercase: sentence.is_some_and(|file| file.do_lower_case),
            prefixes: prefixes(prompts, name),
        })
    }
}

fn pooling(file: &PoolingFile) -> Result<Pooling, LoadError> {
    let flags = file.iter().filter_map(|(name, value)| {
        let mode = name.strip_prefix("pooling_mode_")?;
        (value == true).then(|| mode.trim_end_matches("_tokens").trim_end_matches("_token"))
    });
    let named = file.get("pooling_mode").and_then(serde_json::Value::as_str);
    let modes: std::collections::BTreeSet<_> = flags.chain(named).collect();
    match modes.into_iter().collect::<Vec<_>>().as_slice() {
        ["mean"] => Ok(Pooling::Mean),
        ["cls"] => Ok(Pooling::First),
        ["max"] => Ok(Pooling::Max),
        other => Err(LoadError::Unsupported(format!(
            "pooling by `{}`; one of mean, cls and max is",
            other.join(" and ")
        ))),
    }
}

fn prefixes(prompts: Option<PromptFile>, name: &str) -> Prefixes {
    let prompts = prompts.map(|file| file.prompts).unwrap_or_default();
    let prompt = |names: [&str; 2]| {
        names
            .iter()
            .find_map(|name| prompts.get(*name))
            .cloned()
            .unwrap_or_default()
    };
    let found = Prefixes {
        query: prompt(["query", "Query"]),
        passage: prompt(["passage", "document"]),
    };
    if found == Prefixes::default() && is_e5(name) {
        return Prefixes {
            query: "query: ".to_owned(),
            passage: "passage: ".to_owned(),
        };
    }
    found
}

/// Whether a model's name is one of the e5 family (`e5-small-v2`, `multilingual-e5-base`, …).
fn is_e5(name: &str) -> bool {
    let words: Vec<_> = name
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .map(str::to_ascii_lowercase)
        .collect();
    words.iter().any(|word| word == "e5")
}

/// Names of the weight files in a folder, sorted.
pub fn weight_files(folder: &Path) -> Result<Vec<String>, LoadError> {
    let unreadable = |source| LoadError::Unreadable {
        file: folder.display().to_string(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if let Some(name) = name.to_str()
            && Path::new(name)
                .extension()
                .is_some_and(|extension| extension == "safetensors")
        {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether a folder has the files of a model.
pub fn looks_like_a_model(folder: &Path) -> bool {
    folder.join("config.json").is_file()
        && (folder.join("tokenizer.json").is_file() || folder.join("vocab.txt").is_file())
        && weight_files(folder).is_ok_and(|files| !files.is_empty())
}

/// Bytes of the weight files.
pub fn weight_bytes(folder: &Path) -> u64 {
    let files = weight_files(folder).unwrap_or_default();
    files
        .iter()
        .filter_map(|name| fs::metadata(folder.join(name)).ok())
        .map(|file| file.len())
        .sum()
}

/// Reads a JSON file; `None` when there is none.
pub fn read_json<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<T>, LoadError> {
    let path = folder.join(name);
    let unreadable = |source| LoadError::Unreadable {
        file: name.to_owned(),
        source,
    };
    let damaged = |reason: String| LoadError::Damaged {
        file: name.to_owned(),
        reason,
    };
    match fs::metadata(&path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(error)),
        Ok(file) if file.len() > JSON_LIMIT_BYTES => {
            return Err(damaged("larger than any such file is".to_owned()));
        }
        Ok(_) => {}
    }
    let bytes = fs::read(&path).map_err(unreadable)?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_e5_family_by_name() {
        for name in ["multilingual-e5-small", "e5-base-v2", "intfloat/E5-large"] {
            assert!(is_e5(name), "{name}");
        }
        for name in ["all-MiniLM-L6-v2", "bge-small-en-v1.5", "mace5"] {
            assert!(!is_e5(name), "{name}");
        }
    }

    #[test]
    fn prompts_in_the_folder_beat_the_family() {
        let prompts = [("query", "Q: "), ("document", "D: ")]
            .map(|(name, text)| (name.to_owned(), text.to_owned()));
        let file = PromptFile {
            prompts: prompts.into_iter().collect(),
        };
        let found = prefixes(Some(file), "e5-small");
        assert_eq!(
            (found.query.as_str(), found.passage.as_str()),
            ("Q: ", "D: ")
        );
        assert_eq!(prefixes(None, "all-MiniLM-L6-v2"), Prefixes::default());
    }
}
