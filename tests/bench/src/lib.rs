//! Benchmarks, printed as one table.
