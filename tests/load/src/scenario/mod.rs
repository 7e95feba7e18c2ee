//! Scenarios: load, users, steps and objectives as a TOML file.

mod builtin;
mod file;
mod prepare;

pub use builtin::{Listed, builtin, list};
pub use file::{
    Accounts, Class, Expected, Inline, LoadSpec, Narrow, PhaseSpec, Rating, Scenario,
    ScenarioError, SocketSpec, WeightedStep,
};
pub use prepare::{Overrides, Prepared};
