//! Logs, trace context and the metric registry.
