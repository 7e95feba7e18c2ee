//! Journeys through the whole stack, over both transports.
