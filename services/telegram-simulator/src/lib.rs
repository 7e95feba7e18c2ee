#![doc = include_str!("../README.md")]
#![expect(
    clippy::cast_possible_wrap,
    reason = "Telegram counts in signed 32-bit numbers; what is counted here fits"
)]

mod center;
mod connection;
mod control;
mod faults;
mod handshake;
mod keys;
mod objects;
mod rpc;
mod scenario;
mod schedule;
mod session;
mod session_string;
mod simulator;
mod wire;
mod world;

pub use center::{LoggedCall, Proxied};
pub use control::{ChannelTruth, PostRequest, Truth};
pub use faults::{Armed, Fault};
pub use keys::KeyError;
pub use rpc::names as methods;
pub use scenario::{ChannelScenario, Language, Limit, Scenario, ScenarioError, TooLong};
pub use schedule::{Schedule, Step};
pub use simulator::{Simulator, StartError};
pub use world::{Channel, Media, Post, Slot, User, World};
