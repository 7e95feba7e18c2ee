#![doc = include_str!("../README.md")]

mod admin;
mod apply;
mod body;
mod calls;
mod clock;
mod draw;
mod events;
mod fault;
mod header;
mod kind;
mod log;
mod plane;
mod schedule;
mod scope;
mod server;
mod site;
mod spec;

pub use admin::{Overview, PATH};
pub use calls::{Called, CalledBy, Calls};
pub use draw::is_struck;
pub use events::{Events, Fate};
pub use fault::{Shown, State};
pub use header::{FAULT, KEY, STRUCK};
pub use kind::{Kind, Point};
pub use log::{Page, Strike};
pub use plane::{Answer, Plane, Relay, Relayed};
pub use schedule::{Schedule, Wanted};
pub use scope::{are_possible, before_connection, cache_is_lost, vectors_are_behind};
pub use spec::{Side, Spec};
