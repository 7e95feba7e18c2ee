//! The service over its own router, with a model service that does what it is told.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod batching;
mod embeddings;
mod fake;
mod lost;
mod openai;
