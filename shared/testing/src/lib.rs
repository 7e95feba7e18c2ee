//! Identities, meshes, requests and network faults for tests: a dev-dependency only.
#![expect(
    clippy::expect_used,
    reason = "a fixture that cannot be built fails its test"
)]
#![expect(
    clippy::missing_panics_doc,
    reason = "every fixture panics when it cannot be built"
)]

pub mod faults;
mod identity;
mod log;
mod request;

pub use identity::{SERVICE_SECRET, TOKEN_SECRET, TestIdentity};
pub use log::Log;
pub use request::{Answer, TestClient};
