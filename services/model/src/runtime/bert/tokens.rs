//! Texts to token ids.

use std::path::Path;

use serde::Deserialize;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, EncodeInput, Tokenizer, TruncationParams};

use super::folder::{NetworkConfig, Sentence, read_json};
use crate::runtime::{ComputeError, LoadError};

/// A tokenizer that cuts at the model's longest input.
#[derive(Debug)]
pub struct Tokens {
    tokenizer: Tokenizer,
    lowercase: bool,
    vocabulary: u32,
    segments: u32,
}

/// One tokenized text, or a pair.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Token ids with the special ones.
    pub ids: Vec<u32>,
    /// Segment of each token.
    pub segments: Vec<u32>,
}

#[derive(Deserialize)]
struct WordPieceConfig {
    #[serde(default = "yes")]
    do_lower_case: bool,
    #[serde(default = "yes")]
    tokenize_chinese_chars: bool,
    #[serde(default)]
    strip_accents: Option<bool>,
}

const fn yes() -> bool {
    true
}

impl Tokens {
    /// Opens `tokenizer.json`, or builds WordPiece from `vocab.txt` when only that exists.
    pub fn open(
        folder: &Path,
        network: &NetworkConfig,
        sentence: &Sentence,
    ) -> Result<Self, LoadError> {
        let json = folder.join("tokenizer.json");
        let (file, read) = if json.is_file() {
            ("tokenizer.json", Tokenizer::from_file(&json))
        } else if folder.join("vocab.txt").is_file() {
            let config = read_json::<WordPieceConfig>(folder, "tokenizer_config.json")?;
            let config = config.unwrap_or(WordPieceConfig {
                do_lower_case: true,
                tokenize_chinese_chars: true,
                strip_accents: None,
            });
            ("vocab.txt", wordpiece(&folder.join("vocab.txt"), &config))
        } else {
            return Err(LoadError::Missing("tokenizer.json".to_owned()));
        };
        let damaged = |error: tokenizers::Error| LoadError::Damaged {
            file: file.to_owned(),
            reason: error.to_string(),
        };
        let mut tokenizer = read.map_err(damaged)?;
        let cut = TruncationParams {
            max_length: sentence.max_tokens,
            ..Default::default()
        };
        tokenizer.with_truncation(Some(cut)).map_err(damaged)?;
        tokenizer.with_padding(None);
        Ok(Self {
            tokenizer,
            lowercase: sentence.lowercase,
            vocabulary: u32::try_from(network.vocab_size).unwrap_or(u32::MAX),
            segments: u32::try_from(network.type_vocab_size).unwrap_or(u32::MAX),
        })
    }

    /// Tokenizes one text.
    pub fn encode(&self, text: &str) -> Result<Encoded, ComputeError> {
        let text = text.trim();
        if self.lowercase {
            self.run(text.to_lowercase().into())
        } else {
            self.run(text.into())
        }
    }

    /// Tokenizes a query with a text.
    pub fn encode_pair(&self, query: &str, text: &str) -> Result<Encoded, ComputeError> {
        self.run((query.trim(), text.trim()).into())
    }

    fn run(&self, input: EncodeInput<'_>) -> Result<Encoded, ComputeError> {
        let encoding = self
            .tokenizer
            .encode_fast(input, true)
            .map_err(|error| ComputeError::Tokenizer(error.to_string()))?;
        let ids = encoding.get_ids().to_vec();
        if ids.is_empty() || ids.iter().any(|id| *id >= self.vocabulary) {
            return Err(ComputeError::Tokenizer(
                "the tokenizer and the network are not of one model".to_owned(),
            ));
        }
        let last = self.segments.saturating_sub(1);
        let segments = encoding
            .get_type_ids()
            .iter()
            .map(|segment| (*segment).min(last))
            .collect();
        Ok(Encoded { ids, segments })
    }
}

fn wordpiece(vocabulary: &Path, config: &WordPieceConfig) -> tokenizers::Result<Tokenizer> {
    let vocabulary = WordPiece::read_bytes(&std::fs::read(vocabulary)?)?;
    let special = |token: &str| {
        let id = vocabulary.get(token).copied();
        id.map(|id| (token.to_owned(), id))
            .ok_or_else(|| format!("`{token}` is missing"))
    };
    let (separator, first) = (special("[SEP]")?, special("[CLS]")?);
    special("[UNK]")?;
    let model = WordPiece::builder()
        .vocab(vocabulary)
        .unk_token("[UNK]".to_owned())
        .build()?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_normalizer(Some(BertNormalizer::new(
        true,
        config.tokenize_chinese_chars,
        config.strip_accents,
        config.do_lower_case,
    )))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_post_processor(Some(BertProcessing::new(separator, first)));
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let known: Vec<_> = special
        .iter()
        .filter(|token| tokenizer.token_to_id(token).is_some())
        .map(|token| AddedToken::from(*token, true))
        .collect();
    tokenizer.add_special_tokens(known)?;
    Ok(tokenizer)
}
