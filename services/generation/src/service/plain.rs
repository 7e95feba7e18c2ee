use futures_util::StreamExt;
use touchstone_api::generation::{GenerateRequest, GenerateResponse};

use super::{Generation, wire_usage};
use crate::domain::prompt::{Prompt, Speaker, Turn};
use crate::error::Error;
use crate::provider::{self, Delta, Deltas, Finish, Usage};

/// Longest prompt, in characters.
const MAX_PROMPT_CHARS: usize = 32_000;
/// Most tokens that can be asked for.
const MAX_TOKENS: u32 = 4_096;

/// A whole answer without passages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// The text.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// Tokens.
    pub usage: Usage,
}

impl Generation {
    /// `POST /generate`.
    pub async fn generate(&self, request: GenerateRequest) -> Result<GenerateResponse, Error> {
        let chars = request.prompt.chars().count();
        if chars == 0 || chars > MAX_PROMPT_CHARS {
            let reason = "must have 1 to 32,000 characters";
            return Err(Error::Invalid {
                field: "prompt",
                reason,
            });
        }
        if request
            .max_tokens
            .is_some_and(|tokens| !(1..=MAX_TOKENS).contains(&tokens))
        {
            return Err(Error::Invalid {
                field: "max_tokens",
                reason: "must be from 1 to 4096",
            });
        }
        let provider = self.provider(request.provider.as_deref())?;
        let turns = vec![Turn::new(Speaker::User, request.prompt)];
        let most = request
            .max_tokens
            .unwrap_or(self.inner.config.prompt.max_tokens);
        let deltas = provider.generate(Prompt::plain(turns, most, None)).await?;
        let plain = collect(deltas).await?;
        Ok(GenerateResponse {
            text: plain.text,
            provider: provider.name().to_owned(),
            usage: wire_usage(plain.usage),
        })
    }

    /// Begins an answer of a provider without retrieval.
    pub async fn plain(
        &self,
        provider: &str,
        turns: Vec<Turn>,
        max_tokens: Option<u32>,
        temperature: Option<f32>,
    ) -> Result<Deltas, Error> {
        let entry = self
            .inner
            .registry
            .get(Some(provider))
            .ok_or_else(|| Error::UnknownModel(provider.to_owned()))?;
        let most = max_tokens.unwrap_or(self.inner.config.prompt.max_tokens);
        Ok(entry
            .generate(Prompt::plain(turns, most, temperature))
            .await?)
    }
}

/// Reads an answer to its end.
pub async fn collect(mut deltas: Deltas) -> Result<Plain, provider::Error> {
    let mut text = String::new();
    while let Some(delta) = deltas.next().await {
        match delta? {
            Delta::Text(piece) => text.push_str(&piece),
            Delta::End { finish, usage } => {
                return Ok(Plain {
                    text,
                    finish,
                    usage,
                });
            }
        }
    }
    Err(provider::Error::BrokenOff(
        "the stream ended without its end".into(),
    ))
}
