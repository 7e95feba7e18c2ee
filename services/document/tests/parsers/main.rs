//! Honest files come out as text, hostile files as errors, and the process lives.

#[cfg(test)]
#[path = "../fixtures/mod.rs"]
mod fixtures;

#[cfg(test)]
mod archives;
#[cfg(test)]
mod honest;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod sandbox;

use std::time::Duration;

use bytes::Bytes;
use touchstone_document::formats::{ExtractError, Extracted, Format};
use touchstone_document::sandbox::{Extractor, Settings};

/// Limits for tests: hostile files end soon, slow machines are no reason to fail.
fn settings() -> Settings {
    Settings {
        program: Some(env!("CARGO_BIN_EXE_document-parse-worker").into()),
        timeout: Duration::from_mins(2),
        cpu_seconds: 20,
        memory_bytes: 512 * 1024 * 1024,
        ..Settings::default()
    }
}

async fn extract(format: Format, bytes: Vec<u8>) -> Result<Extracted, ExtractError> {
    Extractor::new(settings())
        .extract(format, Bytes::from(bytes))
        .await
}
