//! Test stacks, fixtures and contract macros.
