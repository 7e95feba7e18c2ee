//! Who writes answers: one trait, and an adapter per kind of provider.

mod error;
mod extractive;
mod guard;
mod openai;
mod registry;
mod simulated;
mod sse;

#[cfg(test)]
mod contract;

pub use error::Error;
pub use extractive::Extractive;
pub use guard::{Guard, guard};
pub use openai::OpenAi;
pub use registry::{Entry, Registry};
pub use simulated::Simulated;

use std::fmt;
use std::pin::Pin;

use async_trait::async_trait;
use futures_util::Stream;

use crate::domain::prompt::Prompt;

/// Pieces of an answer; dropping the stream cancels the answer.
pub type Deltas = Pin<Box<dyn Stream<Item = Result<Delta, Error>> + Send>>;

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// Text, to be appended.
    Text(String),
    /// The end; nothing comes after it.
    End {
        /// Why.
        finish: Finish,
        /// Tokens.
        usage: Usage,
    },
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It is complete.
    Stop,
    /// A limit cut it.
    Length,
    /// The provider's filter cut it.
    Filtered,
}

/// Tokens of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the prompt.
    pub prompt_tokens: u32,
    /// Of the answer.
    pub completion_tokens: u32,
}

/// Writes answers.
///
/// # Cancellation
/// Dropping the future or the stream frees everything that the answer held.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync {
    /// `extractive`, `simulated` or `openai`.
    fn kind(&self) -> &'static str;

    /// The model behind it.
    fn model(&self) -> &str;

    /// Begins an answer: resolves when the provider has accepted or refused.
    ///
    /// The stream gives text, then exactly one [`Delta::End`], or an error that ends it.
    async fn generate(&self, prompt: Prompt) -> Result<Deltas, Error>;
}
