//! Bodies on a connection: those of requests must come at some pace, those of responses must be
//! taken at some pace.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use crate::connection::State;

/// Tells, from a request's extensions, whether its body came too slowly.
#[derive(Clone, Debug, Default)]
pub struct Pace(Arc<End>);

/// How a body ended that did not end well.
#[derive(Debug, Default)]
struct End {
    slow: AtomicBool,
    broken: AtomicBool,
}

impl Pace {
    /// Whether the body was given up because it came too slowly.
    pub fn too_slow(&self) -> bool {
        self.0.slow.load(Ordering::Acquire)
    }

    /// Whether the client broke the body off.
    pub(crate) fn broken(&self) -> bool {
        self.0.broken.load(Ordering::Acquire)
    }
}

/// A request's body that ends with an error when it comes too slowly. Only the time that is spent
/// waiting for the client counts.
pub(crate) struct PacedBody {
    inner: Incoming,
    http2: bool,
    state: Arc<State>,
    pace: Pace,
    received: u64,
    /// Time spent waiting before the current wait.
    waited: Duration,
    /// The current wait: since when, and when it has been too long.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl PacedBody {
    pub fn new(inner: Incoming, http2: bool, state: Arc<State>) -> (Self, Pace) {
        let pace = Pace::default();
        let body = Self {
            inner,
            http2,
            state,
            pace: pace.clone(),
            received: 0,
            waited: Duration::ZERO,
            waiting: None,
        };
        (body, pace)
    }

    /// How long the next bytes may take.
    fn patience(&self) -> Duration {
        let edge = &self.state.edge;
        let earned =
            Duration::from_millis(self.received.saturating_mul(1000) / edge.body_rate.max(1));
        let left = (edge.body_grace + earned).saturating_sub(self.waited);
        left.min(edge.body_silence)
    }
}

impl HttpBody for PacedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.pace.too_slow() || self.pace.broken() {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                if let Some((since, _)) = self.waiting.take() {
                    self.waited += since.elapsed();
                }
                if let Some(data) = frame
                    .as_ref()
                    .and_then(|frame| frame.as_ref().ok()?.data_ref())
                {
                    self.received += data.len() as u64;
                }
                // A stream of HTTP/2 that is reset looks like one that ends.
                let reset = frame.is_none() && self.http2 && !self.inner.is_end_stream();
                if reset || matches!(frame, Some(Err(_))) {
                    self.pace.0.broken.store(true, Ordering::Release);
                }
                if reset {
                    let error = std::io::Error::new(
                        std::io::ErrorKind::ConnectionReset,
                        "the client took the request back",
                    );
                    return Poll::Ready(Some(Err(axum::Error::new(error))));
                }
                Poll::Ready(frame.map(|frame| frame.map_err(axum::Error::new)))
            }
            Poll::Pending => {
                let patience = self.patience();
                let (_, timer) = self
                    .waiting
                    .get_or_insert_with(|| (Instant::now(), Box::pin(sleep(patience))));
                timer.as_mut().poll(cx).map(|()| {
                    self.pace.0.slow.store(true, Ordering::Release);
                    self.state.edge.metrics.count("slow_body");
                    let late = std::io::Error::new(
                        std::io::ErrorKind::TimedOut,
                        "the body came too slowly",
                    );
                    Some(Err(axum::Error::new(late)))
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for PacedBody {
    fn drop(&mut self) {
        let given_up = self.pace.too_slow() || self.pace.broken();
        if !self.http2 && !given_up && !self.inner.is_end_stream() {
            self.state.leave_unread(self.inner.size_hint().lower());
        }
    }
}

/// A response's body on an HTTP/2 connection, where a client that opens no window stalls one
/// stream and not the connection: notes which frames were handed out and not followed up.
pub(crate) struct HandedBody {
    inner: Body,
    state: Arc<State>,
    number: u64,
}

impl HandedBody {
    pub fn new(inner: Body, state: Arc<State>, number: u64) -> Self {
        Self {
            inner,
            state,
            number,
        }
    }
}

impl HttpBody for HandedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.state.asked(self.number);
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if matches!(frame, Poll::Ready(Some(Ok(_)))) {
            self.state.handed(self.number);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for HandedBody {
    fn drop(&mut self) {
        self.state.asked(self.number);
    }
}
