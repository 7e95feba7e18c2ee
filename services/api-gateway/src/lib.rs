//! The public edge: routing, token check, limits, documentation.
