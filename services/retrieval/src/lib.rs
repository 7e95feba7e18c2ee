//! The query plan: hybrid search, fusion, rerank, context.
