#![doc = include_str!("../README.md")]

mod account;
mod build;
mod channels;
mod chat;
mod completeness;
mod config;
pub mod domain;
mod egress;
mod error;
mod exports;
mod guests;
mod history;
mod media;
mod metrics;
mod mirror;
mod routes;
mod service;
pub mod store;

pub use account::{CallError, State};
pub use build::{BuildError, Deps, build};
pub use chat::{Chat, Entry, Posted};
pub use config::Config;
pub use error::Error;
pub use exports::{Export, Exports};
pub use guests::Guests;
pub use service::Telegram;

/// Name of the service in the mesh, the configuration and the metrics.
pub const SERVICE: &str = "telegram";
