//! Text to dense and sparse vectors.
