//! The walls between the crates. Everything is in the tests: layers, driver fences, file sizes,
//! inherited lints, one shape per service.
