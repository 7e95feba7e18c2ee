//! The BERT encoder on candle tensors.

use candle_core::{CpuStorage, CustomOp1, D, Layout, Module, Result, Shape, Tensor};
use candle_nn::{LayerNorm, Linear};
use rayon::prelude::*;

use super::folder::NetworkConfig;
use super::weights::Weights;
use crate::runtime::LoadError;

/// Embeddings and encoder layers.
#[derive(Debug)]
pub struct Network {
    words: Tensor,
    positions: Tensor,
    segments: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
    first_position: usize,
}

#[derive(Debug)]
struct Layer {
    /// Query, key and value in one matrix: one product instead of three.
    attention_in: Linear,
    attention_out: Linear,
    attention_norm: LayerNorm,
    wide: Linear,
    narrow: Linear,
    norm: LayerNorm,
    heads: usize,
    activation: Activation,
}

#[derive(Debug, Clone, Copy)]
enum Activation {
    Gelu,
    GeluTanh,
    Relu,
}

impl Network {
    /// Reads the encoder's tensors; `prefix` is what stands before `embeddings.` in their names.
    pub fn load(
        config: &NetworkConfig,
        weights: &mut Weights,
        prefix: &str,
    ) -> std::result::Result<Self, LoadError> {
        let width = config.hidden_size;
        let embeddings = format!("{prefix}embeddings");
        let mut table = |name: &str, rows: usize| {
            weights.tensor(&format!("{embeddings}.{name}.weight"), &[rows, width])
        };
        let words = table("word_embeddings", config.vocab_size)?;
        let positions = table("position_embeddings", config.max_position_embeddings)?;
        let segments = table("token_type_embeddings", config.type_vocab_size)?;
        let norm = layer_norm(weights, &format!("{embeddings}.LayerNorm"), config)?;
        let layers = (0..config.num_hidden_layers)
            .map(|index| Layer::load(config, weights, &format!("{prefix}encoder.layer.{index}")))
            .collect::<std::result::Result<_, _>>()?;
        let first_position = config.first_position();
        Ok(Self {
            words,
            positions,
            segments,
            norm,
            layers,
            first_position,
        })
    }

    /// Runs the encoder.
    ///
    /// # Shapes
    /// `ids` and `segments`: `[batch, length]` of `u32`; `mask`: `[batch, 1, 1, length]`, 0 for
    /// tokens and a large negative number for padding; returns `[batch, length, width]`.
    pub fn forward(
        &self,
        ids: &Tensor,
        segments: &Tensor,
        mask: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (batch, length) = ids.dims2()?;
        let width = self.words.dim(1)?;
        let rows = |table: &Tensor, ids: &Tensor| {
            table
                .index_select(&ids.flatten_all()?, 0)?
                .reshape((batch, length, width))
        };
        let positions = self.positions.narrow(0, self.first_position, length)?;
        let sum = (rows(&self.words, ids)? + rows(&self.segments, segments)?)?;
        let mut hidden = self.norm.forward(&sum.broadcast_add(&positions)?)?;
        for layer in &self.layers {
            hidden = layer.forward(&hidden, mask)?;
        }
        Ok(hidden)
    }
}

impl Layer {
    fn load(
        config: &NetworkConfig,
        weights: &mut Weights,
        prefix: &str,
    ) -> std::result::Result<Self, LoadError> {
        let (width, wide) = (config.hidden_size, config.intermediate_size);
        let mut parts = Vec::with_capacity(3);
        for name in ["query", "key", "value"] {
            parts.push(linear(
                weights,
                &format!("{prefix}.attention.self.{name}"),
                width,
                width,
            )?);
        }
        let joined = |pick: fn(&Linear) -> Option<&Tensor>| {
            let tensors: Vec<_> = parts.iter().filter_map(pick).collect();
            Tensor::cat(&tensors, 0).map_err(|error| LoadError::Tensor {
                name: format!("{prefix}.attention.self"),
                reason: error.to_string(),
            })
        };
        let attention_in = Linear::new(
            joined(|part| Some(part.weight()))?,
            Some(joined(Linear::bias)?),
        );
        Ok(Self {
            attention_in,
            attention_out: linear(
                weights,
                &format!("{prefix}.attention.output.dense"),
                width,
                width,
            )?,
            attention_norm: layer_norm(
                weights,
                &format!("{prefix}.attention.output.LayerNorm"),
                config,
            )?,
            wide: linear(
                weights,
                &format!("{prefix}.intermediate.dense"),
                width,
                wide,
            )?,
            narrow: linear(weights, &format!("{prefix}.output.dense"), wide, width)?,
            norm: layer_norm(weights, &format!("{prefix}.output.LayerNorm"), config)?,
            heads: config.num_attention_heads,
            activation: match config.hidden_act.as_str() {
                "relu" => Activation::Relu,
                "gelu" => Activation::Gelu,
                _ => Activation::GeluTanh,
            },
        })
    }

    fn forward(&self, hidden: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let attended = self.attention_out.forward(&self.attend(hidden, mask)?)?;
        let hidden = self.attention_norm.forward(&(attended + hidden)?)?;
        let wide = self.wide.forward(&hidden)?;
        let wide = match self.activation {
            Activation::Gelu => wide.apply_op1_no_bwd(&Gelu)?,
            Activation::GeluTanh => wide.gelu()?,
            Activation::Relu => wide.relu()?,
        };
        self.norm.forward(&(self.narrow.forward(&wide)? + hidden)?)
    }

    fn attend(&self, hidden: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let (batch, length, width) = hidden.dims3()?;
        let head = width / self.heads;
        let joined = self
            .attention_in
            .forward(hidden)?
            .reshape((batch, length, 3, self.heads, head))?;
        let part = |index: usize| {
            joined
                .narrow(2, index, 1)?
                .squeeze(2)?
                .transpose(1, 2)?
                .contiguous()
        };
        let query = (part(0)? * (1.0 / (head as f64).sqrt()))?;
        let mut scores = query.matmul(&part(1)?.t()?)?;
        if let Some(mask) = mask {
            scores = scores.broadcast_add(mask)?;
        }
        let weights = candle_nn::ops::softmax_last_dim(&scores)?;
        weights
            .matmul(&part(2)?)?
            .transpose(1, 2)?
            .contiguous()?
            .reshape((batch, length, width))
    }
}

/// Reads a linear layer.
pub fn linear(
    weights: &mut Weights,
    name: &str,
    inputs: usize,
    outputs: usize,
) -> std::result::Result<Linear, LoadError> {
    let weight = weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
    let bias = weights.tensor(&format!("{name}.bias"), &[outputs])?;
    Ok(Linear::new(weight, Some(bias)))
}

fn layer_norm(
    weights: &mut Weights,
    name: &str,
    config: &NetworkConfig,
) -> std::result::Result<LayerNorm, LoadError> {
    // Old checkpoints call the two gamma and beta.
    let names = if weights.contains(&format!("{name}.gamma")) {
        ["gamma", "beta"]
    } else {
        ["weight", "bias"]
    };
    let width = [config.hidden_size];
    let scale = weights.tensor(&format!("{name}.{}", names[0]), &width)?;
    let shift = weights.tensor(&format!("{name}.{}", names[1]), &width)?;
    Ok(LayerNorm::new(scale, shift, config.layer_norm_eps))
}

/// The exact (erf) GELU on all cores; candle's own runs on one and in `f64`.
struct Gelu;

/// Elements that one task works through.
const CHUNK: usize = 8192;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("gelu wants a contiguous tensor");
        };
        let mut values = storage.as_slice::<f32>()?[start..end].to_vec();
        values.par_chunks_mut(CHUNK).for_each(|chunk| {
            for value in chunk {
                *value = gelu(*value);
            }
        });
        Ok((CpuStorage::F32(values), layout.shape().clone()))
    }
}

/// `x * Φ(x)`, absolute error under 1e-6.
///
/// # Source
/// Abramowitz, Stegun, *Handbook of Mathematical Functions*, 7.1.28: no exponential, so that the
/// compiler vectorizes it.
#[inline]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let polynomial = 1.0
        + z * (0.070_523_08
            + z * (0.042_282_01
                + z * (0.009_270_527
                    + z * (0.000_152_014_3 + z * (0.000_276_567_2 + z * 0.000_043_063_8)))));
    let second = polynomial * polynomial;
    let fourth = second * second;
    let eighth = fourth * fourth;
    // Past |x| of about 13 the power overflows to infinity, and its inverse is the right zero.
    let tail = 0.5 / (eighth * eighth);
    if x >= 0.0 { x - x * tail } else { x * tail }
}

/// Picks the first token of every text.
pub fn first_tokens(hidden: &Tensor) -> Result<Tensor> {
    hidden.narrow(1, 0, 1)?.squeeze(1)
}

/// Rows of a `[batch, n]` tensor.
pub fn rows(tensor: &Tensor) -> Result<Vec<Vec<f32>>> {
    tensor.flatten_from(D::Minus1)?.to_vec2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn gelu_equals_the_exact_one() {
        let values: Vec<f32> = (-2000..=2000).map(|step| step as f32 * 0.01).collect();
        let tensor = Tensor::new(values.as_slice(), &Device::Cpu).unwrap();
        let exact = tensor.gelu_erf().unwrap().to_vec1::<f32>().unwrap();
        let ours = tensor
            .apply_op1_no_bwd(&Gelu)
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        for (value, (exact, ours)) in values.iter().zip(exact.iter().zip(&ours)) {
            assert!(
                (exact - ours).abs() < 2e-6,
                "gelu({value}): {exact} and {ours}"
            );
        }
    }
}
