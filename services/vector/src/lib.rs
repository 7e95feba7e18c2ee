//! Tenant-safe vector collections.
