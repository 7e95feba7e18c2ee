//! The real router among fake neighbours.

mod context;
mod modes;
mod requests;
mod search;
mod stability;
#[cfg(test)]
mod support;
