//! Pure rules of the query plan: fusion, rerank, diversity, expansion, context, confidence, what is recorded.

pub mod confidence;
pub mod context;
pub mod diversity;
pub mod expansion;
pub mod fusion;
pub mod record;
pub mod rerank;
