//! A whole stack to test against, in process or as a process per service, and a client for it.

pub mod client;
pub mod deployment;
pub mod files;
pub mod pair;
pub mod servers;

pub use client::Client;
pub use deployment::{Deployment, Mode, Process};
pub use servers::Servers;
