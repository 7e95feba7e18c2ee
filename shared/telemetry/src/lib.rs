//! Logs, trace context and metrics.
//!
//! Nothing here is global but the log subscriber, which [`init_logs`] sets once per process:
//! metrics live in a [`Metrics`] value per stack, so that two stacks can run in one test process.

mod logs;
mod metrics;
mod process;
mod trace;

pub use logs::{LogFormat, init_logs};
pub use metrics::{LATENCY_SECONDS, METRICS_CONTENT_TYPE, Metrics, Scope};
pub use trace::TraceParent;
