//! The walls between the crates, checked.
