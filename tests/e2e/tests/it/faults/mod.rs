//! Faults that are asked for: each strikes what it says, nothing else, and is over when it is over.

mod distributed;
mod events;
mod kinds;
mod load;
mod plane;
mod switching;
