//! BERT-family embedders and cross-encoders on candle, from a local folder.

pub mod checksums;
pub mod folder;
mod network;
mod tokens;
mod weights;

use std::path::Path;

use candle_core::{Device, Module, Tensor};
use candle_nn::Linear;
use touchstone_api::embedding::EmbeddingKind;

use self::folder::{NetworkConfig, Pooling, Sentence};
use self::network::{Network, first_tokens, linear, rows};
use self::tokens::{Encoded, Tokens};
use self::weights::Weights;
use super::{Budget, ComputeError, Embedded, LoadError, Prefixes, normalize};

/// Added to the attention scores of padding.
const MASKED: f32 = -1e9;
/// Name of the first table of the network, by which its other names are found.
const FIRST_TABLE: &str = "embeddings.word_embeddings.weight";

/// What a loader is told besides the folder.
#[derive(Debug, Clone)]
pub struct Options {
    /// The model's name; the e5 family is known by it.
    pub name: String,
    /// Put before texts, instead of what the folder says.
    pub prefixes: Option<Prefixes>,
    /// Longest input in tokens, if shorter than the folder's.
    pub max_tokens: Option<usize>,
    /// Tokens, padding included, that are computed at once.
    pub batch_tokens: usize,
}

/// The parts that embedders and rerankers share.
#[derive(Debug)]
struct Encoder {
    network: Network,
    tokens: Tokens,
    max_tokens: usize,
    batch_tokens: usize,
}

struct Opened {
    encoder: Encoder,
    config: NetworkConfig,
    sentence: Sentence,
    weights: Weights,
    prefix: String,
}

fn open(folder: &Path, options: &Options) -> Result<Opened, LoadError> {
    checksums::verify_checksums(folder)?;
    let config = NetworkConfig::read(folder)?;
    let mut sentence = Sentence::read(folder, &config, &options.name)?;
    if let Some(prefixes) = &options.prefixes {
        sentence.prefixes = prefixes.clone();
    }
    if let Some(limit) = options.max_tokens {
        sentence.max_tokens = sentence.max_tokens.min(limit.max(8));
    }
    let tokens = Tokens::open(folder, &config, &sentence)?;
    let mut weights = Weights::open(folder)?;
    let prefix = weights
        .prefix_of(FIRST_TABLE)
        .ok_or_else(|| LoadError::Tensor {
            name: FIRST_TABLE.to_owned(),
            reason: "is missing".to_owned(),
        })?;
    let network = Network::load(&config, &mut weights, &prefix)?;
    let max_tokens = sentence.max_tokens;
    let encoder = Encoder {
        network,
        tokens,
        max_tokens,
        batch_tokens: options.batch_tokens,
    };
    Ok(Opened {
        encoder,
        config,
        sentence,
        weights,
        prefix,
    })
}

impl Encoder {
    /// Runs the network over texts, longest first, in batches of about the same length, and hands
    /// each batch's output with the places of its texts to `take`.
    fn run(
        &self,
        texts: &[Encoded],
        budget: &Budget,
        mut take: impl FnMut(&[usize], &Tensor) -> Result<(), ComputeError>,
    ) -> Result<(), ComputeError> {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|place| std::cmp::Reverse(texts[*place].ids.len()));
        let mut rest = order.as_slice();
        while let Some(first) = rest.first() {
            budget.check()?;
            let length = texts[*first].ids.len();
            let (batch, others) = rest.split_at((self.batch_tokens / length).clamp(1, rest.len()));
            let chosen: Vec<_> = batch.iter().map(|place| &texts[*place]).collect();
            take(batch, &self.forward(&chosen, length)?)?;
            rest = others;
        }
        Ok(())
    }

    fn forward(&self, texts: &[&Encoded], length: usize) -> Result<Tensor, ComputeError> {
        let shape = (texts.len(), length);
        let padded = |pick: fn(&Encoded) -> &[u32]| {
            let mut flat = Vec::with_capacity(shape.0 * length);
            for text in texts {
                flat.extend_from_slice(pick(text));
                flat.resize(flat.len().next_multiple_of(length), 0);
            }
            Tensor::from_vec(flat, shape, &Device::Cpu)
        };
        let ids = padded(|text| &text.ids)?;
        let segments = padded(|text| &text.segments)?;
        let mask = if texts.iter().all(|text| text.ids.len() == length) {
            None
        } else {
            let mut flat = vec![0.0_f32; shape.0 * length];
            for (row, text) in flat.chunks_mut(length).zip(texts) {
                row[text.ids.len()..].fill(MASKED);
            }
            Some(Tensor::from_vec(
                flat,
                (shape.0, 1, 1, length),
                &Device::Cpu,
            )?)
        };
        Ok(self.network.forward(&ids, &segments, mask.as_ref())?)
    }
}

/// Texts to vectors.
#[derive(Debug)]
pub struct Embedder {
    encoder: Encoder,
    pooling: Pooling,
    prefixes: Prefixes,
    dimension: usize,
    memory_bytes: u64,
}

impl Embedder {
    /// Loads a folder and embeds one word, so that a broken model is found here.
    pub fn load(folder: &Path, options: &Options) -> Result<Self, LoadError> {
        let opened = open(folder, options)?;
        let embedder = Self {
            encoder: opened.encoder,
            pooling: opened.sentence.pooling,
            prefixes: opened.sentence.prefixes,
            dimension: opened.config.hidden_size,
            memory_bytes: opened.weights.loaded_bytes(),
        };
        embedder
            .embed(
                &["trial".to_owned()],
                EmbeddingKind::Query,
                &Budget::default(),
            )
            .map_err(LoadError::Trial)?;
        Ok(embedder)
    }

    /// Embeds texts.
    ///
    /// # Shapes
    /// Returns `[texts][dimension]`, L2-normalised.
    ///
    /// # Cancellation
    /// Looks at the budget between batches.
    pub fn embed(
        &self,
        texts: &[String],
        kind: EmbeddingKind,
        budget: &Budget,
    ) -> Result<Embedded, ComputeError> {
        let prefix = self.prefixes.of(kind);
        let encoded = texts
            .iter()
            .map(|text| {
                if prefix.is_empty() {
                    self.encoder.tokens.encode(text)
                } else {
                    self.encoder
                        .tokens
                        .encode(&format!("{prefix}{}", text.trim()))
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut vectors = vec![Vec::new(); texts.len()];
        self.encoder.run(&encoded, budget, |places, hidden| {
            let length = hidden.dim(1)?;
            let flat = hidden.flatten_all()?.to_vec1::<f32>()?;
            for (place, rows) in places.iter().zip(flat.chunks(length * self.dimension)) {
                let tokens = encoded[*place].ids.len();
                let mut vector = pool(
                    &rows[..tokens * self.dimension],
                    self.dimension,
                    self.pooling,
                );
                normalize(&mut vector)?;
                vectors[*place] = vector;
            }
            Ok(())
        })?;
        Ok(Embedded {
            vectors,
            tokens: encoded.iter().map(|text| text.ids.len()).sum(),
        })
    }

    /// Length of the vectors.
    pub const fn dimension(&self) -> usize {
        self.dimension
    }

    /// Longest input in tokens.
    pub const fn max_tokens(&self) -> usize {
        self.encoder.max_tokens
    }

    /// Memory of the weights.
    pub const fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }
}

/// Makes one vector of the vectors of the tokens, which lie one after another in `rows`.
fn pool(rows: &[f32], dimension: usize, pooling: Pooling) -> Vec<f32> {
    let mut tokens = rows.chunks_exact(dimension);
    let mut pooled = tokens
        .next()
        .map_or_else(|| vec![0.0; dimension], <[f32]>::to_vec);
    match pooling {
        Pooling::First => {}
        // The sum has the direction of the mean, and only the direction is kept.
        Pooling::Mean => tokens.for_each(|token| {
            pooled
                .iter_mut()
                .zip(token)
                .for_each(|(sum, value)| *sum += value);
        }),
        Pooling::Max => tokens.for_each(|token| {
            pooled
                .iter_mut()
                .zip(token)
                .for_each(|(most, value)| *most = most.max(*value));
        }),
    }
    pooled
}

/// Pairs of a query and a text to scores.
#[derive(Debug)]
pub struct Reranker {
    encoder: Encoder,
    /// The layer with a tanh that the classifier reads, where there is one.
    pooler: Option<Linear>,
    classifier: Linear,
    memory_bytes: u64,
}

impl Reranker {
    /// Loads a folder and scores one pair, so that a broken model is found here.
    pub fn load(folder: &Path, options: &Options) -> Result<Self, LoadError> {
        let Opened {
            encoder,
            config,
            mut weights,
            prefix,
            ..
        } = open(folder, options)?;
        let width = config.hidden_size;
        // BERT has a pooler below its classifier; the RoBERTa family has two layers in the head.
        let (pooler, head) = if weights.contains("classifier.out_proj.weight") {
            ("classifier.dense".to_owned(), "classifier.out_proj")
        } else {
            (format!("{prefix}pooler.dense"), "classifier")
        };
        let labels = weights
            .shape(&format!("{head}.weight"))
            .map(<[usize]>::to_vec);
        if labels.is_some_and(|shape| shape.first() != Some(&1)) {
            return Err(LoadError::Unsupported(
                "a classifier of more than one label".to_owned(),
            ));
        }
        let pooler = weights
            .contains(&format!("{pooler}.weight"))
            .then(|| linear(&mut weights, &pooler, width, width))
            .transpose()?;
        let classifier = linear(&mut weights, head, width, 1)?;
        let reranker = Self {
            encoder,
            pooler,
            classifier,
            memory_bytes: weights.loaded_bytes(),
        };
        reranker
            .rerank("trial", &["trial".to_owned()], &Budget::default())
            .map_err(LoadError::Trial)?;
        Ok(reranker)
    }

    /// Scores texts against a query: the logit, higher is better.
    pub fn rerank(
        &self,
        query: &str,
        texts: &[String],
        budget: &Budget,
    ) -> Result<Vec<f32>, ComputeError> {
        let encoded = texts
            .iter()
            .map(|text| self.encoder.tokens.encode_pair(query, text))
            .collect::<Result<Vec<_>, _>>()?;
        let mut scores = vec![0.0; texts.len()];
        self.encoder.run(&encoded, budget, |places, hidden| {
            let mut first = first_tokens(hidden)?.contiguous()?;
            if let Some(pooler) = &self.pooler {
                first = pooler.forward(&first)?.tanh()?;
            }
            for (place, row) in places.iter().zip(rows(&self.classifier.forward(&first)?)?) {
                let score = row.first().copied().unwrap_or(f32::NAN);
                if !score.is_finite() {
                    return Err(ComputeError::NotFinite);
                }
                scores[*place] = score;
            }
            Ok(())
        })?;
        Ok(scores)
    }

    /// Longest pair in tokens.
    pub const fn max_tokens(&self) -> usize {
        self.encoder.max_tokens
    }

    /// Memory of the weights.
    pub const fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_in_three_ways() {
        let rows = [1.0, -2.0, 3.0, 4.0];
        assert_eq!(pool(&rows, 2, Pooling::First), [1.0, -2.0]);
        assert_eq!(pool(&rows, 2, Pooling::Mean), [4.0, 2.0]);
        assert_eq!(pool(&rows, 2, Pooling::Max), [3.0, 4.0]);
    }
}
