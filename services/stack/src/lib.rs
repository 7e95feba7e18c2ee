//! The composition root and the touchstone binary.
