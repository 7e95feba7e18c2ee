//! Bodies on their way through: capped on the way in, watched on the way out.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use prometheus_client::metrics::gauge::Gauge;
use serde_json::json;
use tokio::time::{Instant, Sleep};

use crate::Error;
use crate::config::Streams;

/// A request's body that ends with an error once it has grown too large.
pub(crate) struct CappedBody {
    inner: Body,
    left: u64,
    limit: u64,
    exceeded: Arc<AtomicBool>,
}

impl CappedBody {
    /// Caps `inner`; the flag tells whether the cap was hit.
    pub fn new(inner: Body, limit: u64) -> (Self, Arc<AtomicBool>) {
        let exceeded = Arc::new(AtomicBool::new(false));
        (
            Self {
                inner,
                left: limit,
                limit,
                exceeded: Arc::clone(&exceeded),
            },
            exceeded,
        )
    }
}

impl HttpBody for CappedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(data) = frame
            .as_ref()
            .and_then(|frame| frame.as_ref().ok()?.data_ref())
        {
            let size = data.len() as u64;
            if size > self.left {
                self.exceeded.store(true, Ordering::Release);
                let error = Error::TooLarge { limit: self.limit };
                return Poll::Ready(Some(Err(axum::Error::new(error))));
            }
            self.left -= size;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// How a stream that breaks tells so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// No events: the connection breaks.
    Plain,
    /// `event: error` with `{code, detail}`.
    Events,
    /// `data: {"error": …}`, what clients of the OpenAI face understand.
    OpenAi,
}

/// Code of a stream that was cut.
const TIMEOUT: &str = "gateway.stream_timeout";
/// Why it was cut.
const TOO_LONG: &str = "the stream took longer than a stream may";
/// A comment, which readers of events skip: it keeps proxies and clients from thinking that
/// nobody is there any more.
const HEARTBEAT: &[u8] = b": heartbeat\n\n";

/// A response's body. Frames pass unchanged; silence and endless streams are cut, and a stream of
/// events that breaks ends with an event that says so. Dropping it drops the service's response.
pub(crate) struct WatchedBody {
    inner: Body,
    dialect: Dialect,
    limits: Streams,
    /// Runs out when there may be something to do about the service's silence. Set when a frame is
    /// waited for, and not moved by each frame: it looks again when it runs out too early.
    timer: Option<Pin<Box<Sleep>>>,
    /// When an idle stream of events says that it is alive.
    heartbeat: Instant,
    /// When the silence has lasted too long.
    silent_until: Instant,
    /// When a stream of events must end.
    end: Instant,
    /// The last bytes, to know whether an event is complete.
    tail: [u8; 4],
    finished: bool,
    _open: Option<Open>,
}

impl WatchedBody {
    pub fn new(inner: Body, dialect: Dialect, limits: Streams, streams: &Gauge) -> Self {
        let now = Instant::now();
        Self {
            inner,
            dialect,
            limits,
            timer: None,
            heartbeat: now + limits.heartbeat,
            silent_until: now + limits.idle,
            end: now + limits.longest,
            tail: *b"\n\n\n\n",
            finished: false,
            _open: (dialect != Dialect::Plain).then(|| Open::new(streams)),
        }
    }

    /// The first of heartbeat, silence and end.
    fn next(&self) -> Instant {
        if self.dialect == Dialect::Plain {
            self.silent_until
        } else if self.limits.heartbeat.is_zero() {
            self.silent_until.min(self.end)
        } else {
            self.heartbeat.min(self.silent_until).min(self.end)
        }
    }

    /// What there is to say after a silence, if anything.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame<Bytes>, axum::Error>> {
        loop {
            let next = self.next();
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if now < next {
                timer.as_mut().reset(next);
                continue;
            }
            self.timer = None;
            if now >= self.end && self.dialect != Dialect::Plain {
                return Poll::Ready(self.break_off(TIMEOUT, TOO_LONG));
            }
            if now >= self.silent_until {
                let detail = "the service fell silent";
                return Poll::Ready(self.break_off(TIMEOUT, detail));
            }
            self.heartbeat = now + self.limits.heartbeat;
            // Inside an event a comment would become part of it.
            if self.at_boundary() {
                return Poll::Ready(Ok(Frame::data(Bytes::from_static(HEARTBEAT))));
            }
        }
    }

    /// Whether an event could begin here.
    fn at_boundary(&self) -> bool {
        matches!(
            self.tail,
            [_, _, b'\n', b'\n'] | [_, _, b'\r', b'\r'] | [b'\r', b'\n', b'\r', b'\n']
        )
    }

    /// The last frame of a stream that broke.
    fn break_off(&mut self, code: &str, detail: &str) -> Result<Frame<Bytes>, axum::Error> {
        self.finished = true;
        // Frees the service at once, not when the client reads on.
        self.inner = Body::empty();
        let event = match self.dialect {
            Dialect::Plain => {
                return Err(axum::Error::new(std::io::Error::other(detail.to_owned())));
            }
            Dialect::Events => {
                format!(
                    "event: error\ndata: {}\n\n",
                    json!({ "code": code, "detail": detail })
                )
            }
            Dialect::OpenAi => {
                let error = json!({ "message": detail, "type": "server_error", "code": code });
                format!("data: {}\n\n", json!({ "error": error }))
            }
        };
        let gap = if self.at_boundary() { "" } else { "\n\n" };
        Ok(Frame::data(Bytes::from(format!("{gap}{event}"))))
    }

    fn remember(&mut self, data: &[u8]) {
        if let Some(last) = data.last_chunk() {
            self.tail = *last;
            return;
        }
        for byte in data {
            self.tail.rotate_left(1);
            self.tail[3] = *byte;
        }
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.finished {
            return Poll::Ready(None);
        }
        let now = Instant::now();
        if self.dialect != Dialect::Plain && now >= self.end {
            return Poll::Ready(Some(self.break_off(TIMEOUT, TOO_LONG)));
        }
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.remember(data);
                }
                self.silent_until = now + self.limits.idle;
                self.heartbeat = now + self.limits.heartbeat;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(
                self.break_off("gateway.service_broke_off", "the answer broke off"),
            )),
            Poll::Ready(None) => {
                self.finished = true;
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_silence(cx).map(Some),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.finished || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.dialect {
            Dialect::Plain => self.inner.size_hint(),
            Dialect::Events | Dialect::OpenAi => SizeHint::default(),
        }
    }
}

/// Counts something while it is open.
pub(crate) struct Open(Gauge);

impl Open {
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests;
