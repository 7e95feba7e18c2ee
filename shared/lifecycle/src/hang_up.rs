//! Answers that are none: the connection is reset in their place.

use std::fmt;

use tokio::net::TcpStream;

/// In the extensions of a response: it is not sent, and its connection is reset. Over HTTP/2 it is the
/// stream that is reset.
#[derive(Clone, Copy, Debug)]
pub struct HangUp;

impl fmt::Display for HangUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hung up instead of answering")
    }
}

impl std::error::Error for HangUp {}

/// A stream whose other end can be told that all is over.
pub(crate) trait Reset {
    /// Lets the stream be reset when it is dropped.
    fn reset(&self);
}

impl Reset for TcpStream {
    fn reset(&self) {
        // Without it the stream is closed, which the other end takes for the same.
        let _ = self.set_zero_linger();
    }
}

impl<I: Reset> Reset for tokio_rustls::server::TlsStream<I> {
    fn reset(&self) {
        self.get_ref().0.reset();
    }
}
