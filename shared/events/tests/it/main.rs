//! The contract of every bus on every backend, and relay and consumer on a real outbox.

#[cfg(test)]
mod contract;

#[cfg(test)]
mod memory {
    crate::contract::suite!(touchstone_events::open("memory://").unwrap());
}

#[cfg(test)]
mod consumer;
#[cfg(test)]
mod pressure;
#[cfg(test)]
mod relay;
