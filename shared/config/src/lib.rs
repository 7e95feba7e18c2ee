//! Layered configuration with every mistake reported at once.
