//! Bind-first listeners, soft and hard stop, tracked tasks and readiness.
