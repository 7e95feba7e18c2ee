//! Rules that know neither Telegram's client nor a store.

pub mod coverage;
pub mod export;
pub mod governor;
pub mod ledger;
pub mod proxy;
pub mod string_session;
pub mod target;
pub mod vault;
