//! The bytes of a connection, with a watch on clients that are slow.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::admission::Place;
use crate::connection::State;
use crate::hang_up::Reset;
use crate::heads::Heads;

/// How long a client may go on sending what nobody reads after its answer, before the connection
/// is closed in its face.
const LINGER: Duration = Duration::from_secs(5);

/// A connection's stream. A head that takes too long and a client that takes nothing of what is
/// sent end it. It holds the connection's place, also after an upgrade.
pub(crate) struct Watched<I: Reset> {
    inner: I,
    state: Arc<State>,
    heads: Heads,
    /// Runs out when a head takes too long; with the count of the heads before it.
    head: Option<(u64, Pin<Box<Sleep>>)>,
    /// Runs out when the client takes nothing.
    write: Option<Pin<Box<Sleep>>>,
    /// Runs out when a client does not end what nobody reads.
    linger: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl<I: Reset> Watched<I> {
    pub fn new(inner: I, state: Arc<State>, place: Place) -> Self {
        Self {
            inner,
            state,
            heads: Heads::default(),
            head: None,
            write: None,
            linger: None,
            _place: place,
        }
    }

    /// Notes what was read.
    fn read(&mut self, data: &[u8]) {
        self.heads.feed(data);
        if let Some(head) = self.heads.conflict() {
            self.state.two_lengths(head);
        }
        let same = self.heads.inside_head()
            && self
                .head
                .as_ref()
                .is_some_and(|(head, _)| *head == self.heads.ended());
        if !same {
            self.head = None;
        }
    }

    /// Waits for the rest of a head no longer than is allowed.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.heads.inside_head() {
            return Poll::Pending;
        }
        let (ended, timeout) = (self.heads.ended(), self.state.edge.head_timeout);
        let (_, timer) = self
            .head
            .get_or_insert_with(|| (ended, Box::pin(sleep(timeout))));
        timer.as_mut().poll(cx).map(|()| {
            self.state.edge.metrics.count("slow_head");
            Err(late("the head of a request took too long"))
        })
    }

    /// Waits for the client to take something no longer than is allowed.
    fn poll_written<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write = None;
            return written;
        }
        let timeout: Duration = self.state.edge.reader_silence;
        let timer = self.write.get_or_insert_with(|| Box::pin(sleep(timeout)));
        timer.as_mut().poll(cx).map(|()| {
            self.state.edge.metrics.count("slow_reader");
            Err(late("the client takes nothing"))
        })
    }
}

impl<I: Reset + AsyncRead + Unpin> Watched<I> {
    /// Takes what the client still sends until it ends. A socket that is closed with something
    /// unread tells the client so at once, and the client throws the answer away.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let longest = LINGER.min(self.state.edge.body_silence);
        let timer = self.linger.get_or_insert_with(|| Box::pin(sleep(longest)));
        if timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut scratch = [0; 8 * 1024];
        // Lets others run after a while: the client may send without end.
        for _ in 0..64 {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<I: Reset> Drop for Watched<I> {
    fn drop(&mut self) {
        if self.state.is_reset() {
            self.inner.reset();
        }
    }
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<I: Reset + AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                let read = &buffer.filled()[before..];
                self.read(read);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_head(cx),
        }
    }
}

impl<I: Reset + AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, data);
        self.poll_written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, data);
        self.poll_written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.poll_written(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state.is_reset() {
            return Poll::Ready(Ok(()));
        }
        if self.linger.is_none() {
            let shut = Pin::new(&mut self.inner).poll_shutdown(cx);
            ready!(self.poll_written(cx, shut))?;
        }
        if self.state.unread() {
            return self.poll_rest(cx);
        }
        Poll::Ready(Ok(()))
    }
}
