//! Answers with verified citations.
