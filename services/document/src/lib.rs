//! Documents, versions, chunks and their ingestion.
