//! Model runtimes: load, unload, embed, rerank.
