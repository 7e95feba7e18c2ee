//! Known answers: a server whose behaviour is known in closed form, and the grading of load testers by it.

mod conformance;
mod expect;
mod script;
mod server;
mod texts;
mod told;

pub use conformance::{Graded, Line, Tool, conformance};
pub use expect::{Asked, Expected, Pace, Quantity};
pub use script::{End, Probe, Reply};
pub use server::Server;
pub use told::Told;
