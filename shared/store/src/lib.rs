#![doc = include_str!("../README.md")]

mod dir_lock;
mod encode;
mod error;
pub mod inbox;
pub mod outbox;
pub mod sqlite;

pub use dir_lock::{DirLock, DirLockError};
pub use encode::{decode_id, encode_id, from_micros, micros};
pub use error::Error;
pub use outbox::Outbox;
