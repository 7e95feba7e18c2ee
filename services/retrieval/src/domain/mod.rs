//! Pure rules of the query plan: fusion, rerank, diversity, expansion, context, confidence.

pub mod confidence;
pub mod context;
pub mod diversity;
pub mod expansion;
pub mod fusion;
pub mod rerank;
