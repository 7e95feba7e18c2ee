#![doc = include_str!("../README.md")]

mod backoff;
mod bus;
mod consumer;
mod memory;
mod relay;

pub use backoff::Backoff;
pub use bus::{Acknowledge, Delivery, Error, EventBus, EventSource, Subscription, open};
pub use consumer::{Consumer, Failure, Handler};
pub use memory::MemoryBus;
pub use relay::{Relay, RelayOptions, Waker};
