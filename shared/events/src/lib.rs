#![doc = include_str!("../README.md")]

mod backoff;
mod bus;
mod consumer;
mod faulty;
mod kafka;
mod memory;
mod queue;
mod relay;

pub use backoff::Backoff;
pub use bus::{
    Acknowledge, BusState, Delivery, Error, EventBus, EventSource, GroupState, Subscription,
    is_uri, open, trial,
};
pub use consumer::{Consumer, Failure, Handler};
pub use faulty::FaultyBus;
pub use kafka::{KafkaBus, KafkaOptions};
pub use memory::MemoryBus;
pub use relay::{Backlog, Relay, RelayOptions, Waker};
