#![doc = include_str!("../README.md")]

mod dir_lock;
mod encode;
mod error;
pub mod inbox;
pub mod outbox;
mod pools;
pub mod postgres;
pub mod sqlite;
mod uri;

pub use dir_lock::{DirLock, DirLockError};
pub use encode::{decode_id, encode_id, from_micros, micros};
pub use error::Error;
pub use outbox::Outbox;
pub use pools::Pools;
pub use uri::{Backend, StoreUri};

/// A name for a holder of a lease.
fn holder() -> uuid::Uuid {
    touchstone_types::IdSource::system().next()
}
