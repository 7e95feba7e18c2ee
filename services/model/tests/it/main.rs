//! The service over its own router, and the networks against reference implementations.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

mod api;
mod bert;
mod damage;
mod install;
mod minilm;
mod openai;
mod tiny;
