//! What every service's HTTP surface shares: extractors whose rejections are problems, the caller,
//! and [`Surface`], which wraps a service's routes with health, readiness, metrics, specification,
//! request ids, deadlines, panic catching and the error boundary.

mod boundary;
mod caller;
mod durations;
mod extract;
mod openapi;
mod problem;
pub mod responses;
pub mod sse;
mod strict;
mod surface;

pub use boundary::Boundary;
pub use caller::{Caller, OptionalCaller};
pub use durations::method_name;
pub use extract::{AppJson, AppPath, AppQuery, RequestError};
pub use problem::{PROBLEM_JSON, Problem};
pub use surface::{HealthReport, Surface};
