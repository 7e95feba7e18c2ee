#![doc = include_str!("../README.md")]

mod profile;
mod random;
mod share;
mod slots;

pub use profile::{PROFILES, Profile, under_load};
pub use random::Random;
pub use share::by_share;
pub use slots::{Occupancy, Slot, Slots, Turn};
