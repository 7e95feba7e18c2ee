//! The cache behind a URI.
