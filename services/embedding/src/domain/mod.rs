//! Pure rules: how a text becomes sparse vectors.

pub mod lexical;
