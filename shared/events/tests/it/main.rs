//! The contract of every bus on every backend, and relay and consumer on a real outbox.

#[cfg(test)]
mod contract;

#[cfg(test)]
mod memory {
    crate::contract::suite!(async { Some(touchstone_events::open("memory://").unwrap()) });
}

#[cfg(test)]
mod on_kafka {
    crate::contract::suite!(crate::kafka::bus());
}

#[cfg(test)]
mod consumer;
#[cfg(test)]
mod kafka;
#[cfg(test)]
mod pressure;
#[cfg(test)]
mod relay;
