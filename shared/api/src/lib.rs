//! Wire types of every service, a module per service: what goes over HTTP and over the bus.
//!
//! Requests refuse unknown fields; lists are [`Page`]s; errors are [`Problem`]s (RFC 9457).

pub mod analytics;
pub mod auth;
pub mod document;
pub mod embedding;
pub mod events;
pub mod generation;
pub mod headers;
pub mod model;
pub mod openai;
pub mod retrieval;
pub mod telegram;
pub mod vector;

mod common;
mod whole;

pub use common::{Health, HealthStatus, Page, PageQuery, Problem, Readiness};
