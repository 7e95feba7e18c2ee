//! The composition root: the one crate that knows every service. It binds the ports, builds the
//! services into a [`Stack`] and is the `touchstone` binary.

pub mod cli;
mod config;
mod demo;
pub mod evaluation;
mod faults;
mod mesh;
mod recording;
pub mod secrets;
mod servers;
mod service;
mod stack;
mod wiring;

pub use config::{Profile, Settings, StackConfig, plain_names};
pub use faults::FaultsConfig;
pub use mesh::MeshConfig;
pub use service::Service;
pub use stack::{Plan, Stack, StartError};
