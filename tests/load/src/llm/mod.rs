//! A simulated server of a language model that queues, slows down and fails as loaded ones do, and tells
//! beforehand what it will do.

pub mod check;
mod predict;
mod profile;
mod server;

pub use predict::{Prediction, predict, rate_for, replay};
pub use profile::{Fault, Faults, Model, Script};
pub use server::Simulator;
pub use touchstone_simulated_model::{PROFILES, Profile};
