//! The event bus and the consumer loop.
