//! Telegram channels through REST.

mod account;
pub mod domain;
