//! Generation over its real router, with a made-up retrieval.
#![expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be built fails its test"
)]

mod ask;
mod bad_input;
mod chat;
mod conversations;
mod world;
