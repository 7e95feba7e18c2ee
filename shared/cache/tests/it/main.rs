//! The contract of every cache, on every backend that is built in.

#[cfg(test)]
mod contract;

#[cfg(test)]
mod memory {
    crate::contract::suite!(touchstone_cache::open("memory://?max=1MiB").unwrap());
}
