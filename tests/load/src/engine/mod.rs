//! The engine: phases of open and closed load on several threads, added up every second.
//!
//! A shard is a thread with a runtime of its own. Nothing is shared while it works; once a second it
//! sends what it recorded. [`drive`] is the whole logic of a shard and knows neither sockets nor the
//! clock of the machine, so tests run it on paused time.

mod collect;
mod pacer;
mod plan;
mod run;
mod shard;
#[cfg(test)]
mod tests;
mod work;

pub use collect::{Collected, Ended, Progress, collect};
pub use pacer::Pacer;
pub use plan::{Load, Phase, Plan, Think};
pub use run::{Message, Ran, Shards, run, start};
pub use shard::{Duty, Share, drive};
pub use work::{Turn, Work};
