//! What an iteration does: the seam between the engine and its clients.

use std::time::Instant;

use futures_util::future::LocalBoxFuture;

use crate::measure::Recorder;

/// An iteration that begins now.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Phase of the run.
    pub phase: u16,
    /// Which user does it: a number below the users of the phase, or any under open load.
    pub user: u64,
    /// Which iteration of that user, or of the phase, it is.
    pub number: u64,
    /// Decides what is done.
    pub draw: u64,
    /// When it was wanted.
    pub intended: Instant,
}

/// What iterations consist of. One value per shard; nothing in it is shared among threads.
pub trait Work: 'static {
    /// What a user keeps between two iterations: a connection, say.
    type Lane: 'static;

    /// A lane for a user or for a request under open load.
    fn lane(&self) -> Self::Lane;

    /// Does one iteration and records each request of it.
    fn run<'a>(
        &'a self,
        turn: Turn,
        lane: &'a mut Self::Lane,
        recorder: &'a Recorder,
    ) -> LocalBoxFuture<'a, ()>;
}
