//! Bodies that do not come as they should.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::site::Hit;

/// A body that breaks off.
#[derive(Debug)]
pub(crate) struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body breaks off, as was asked for")
    }
}

impl std::error::Error for Broken {}

/// What happens to a body.
enum Mode {
    /// So many bytes pass; then one look at it in vain, so that they are sent, then the end.
    Cut { left: u64, paused: bool },
    /// Pieces of a size, one every so often, until the fault is over.
    Drip {
        piece: usize,
        every: Duration,
        rest: Bytes,
        next: Pin<Box<Sleep>>,
        over: Pin<Box<dyn Future<Output = ()> + Send>>,
        is_over: bool,
    },
    /// One bit is turned.
    Corrupt { word: u64, done: bool },
    /// Memory that is in use as long as the body is.
    Hold(#[expect(dead_code, reason = "it is held, and no more")] Vec<Vec<u8>>),
}

/// A body that a fault has struck.
pub(crate) struct Struck {
    inner: Body,
    mode: Mode,
}

impl Struck {
    pub fn cut(inner: Body, after: u64) -> Body {
        let mode = Mode::Cut {
            left: after,
            paused: false,
        };
        Body::new(Self { inner, mode })
    }

    pub fn drip(inner: Body, piece: usize, every: Duration, hit: Hit) -> Body {
        let mode = Mode::Drip {
            piece,
            every,
            rest: Bytes::new(),
            next: Box::pin(sleep_until(Instant::now() + every)),
            over: Box::pin(async move { hit.over().await }),
            is_over: false,
        };
        Body::new(Self { inner, mode })
    }

    pub fn corrupt(inner: Body, word: u64) -> Body {
        let mode = Mode::Corrupt { word, done: false };
        Body::new(Self { inner, mode })
    }

    pub fn hold(inner: Body, memory: Vec<Vec<u8>>) -> Body {
        let mode = Mode::Hold(memory);
        Body::new(Self { inner, mode })
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, axum::Error>>>;

impl http_body::Body for Struck {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let Self { inner, mode } = self.get_mut();
        match mode {
            Mode::Cut { left, paused } => cut(inner, left, paused, cx),
            Mode::Drip {
                piece,
                every,
                rest,
                next,
                over,
                is_over,
            } => {
                *is_over = *is_over || over.as_mut().poll(cx).is_ready();
                if rest.is_empty() {
                    match ready!(Pin::new(&mut *inner).poll_frame(cx)) {
                        Some(Ok(frame)) => match frame.into_data() {
                            Ok(data) => *rest = data,
                            Err(frame) => return Poll::Ready(Some(Ok(frame))),
                        },
                        ended => return Poll::Ready(ended),
                    }
                }
                if *is_over {
                    return Poll::Ready(Some(Ok(Frame::data(std::mem::take(rest)))));
                }
                ready!(next.as_mut().poll(cx));
                next.as_mut().reset(Instant::now() + *every);
                let piece = rest.split_to((*piece).min(rest.len()));
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Mode::Corrupt { word, done } => {
                let frame = ready!(Pin::new(inner).poll_frame(cx));
                Poll::Ready(frame.map(|frame| {
                    frame.map(|frame| match frame.into_data() {
                        Ok(data) if !*done && !data.is_empty() => {
                            *done = true;
                            Frame::data(turn_a_bit(&data, *word))
                        }
                        Ok(data) => Frame::data(data),
                        Err(frame) => frame,
                    })
                }))
            }
            Mode::Hold(_) => Pin::new(inner).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        // What was not sent has not ended.
        match &self.mode {
            Mode::Cut { .. } => false,
            Mode::Drip { rest, .. } => rest.is_empty() && self.inner.is_end_stream(),
            Mode::Corrupt { .. } | Mode::Hold(_) => self.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.mode {
            Mode::Drip { rest, .. } if !rest.is_empty() => SizeHint::default(),
            _ => self.inner.size_hint(),
        }
    }
}

fn cut(inner: &mut Body, left: &mut u64, paused: &mut bool, cx: &mut Context<'_>) -> Polled {
    let broken = || Poll::Ready(Some(Err(axum::Error::new(Broken))));
    let mut pause = |cx: &Context<'_>| {
        if *paused {
            return broken();
        }
        *paused = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    };
    if *left == 0 {
        return pause(cx);
    }
    match ready!(Pin::new(inner).poll_frame(cx)) {
        Some(Ok(frame)) => match frame.into_data() {
            Ok(mut data) => {
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= data.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            // It never gets as far as its trailers.
            Err(_) => {
                *left = 0;
                pause(cx)
            }
        },
        None => {
            *left = 0;
            pause(cx)
        }
        failed => Poll::Ready(failed),
    }
}

fn turn_a_bit(data: &Bytes, word: u64) -> Bytes {
    let mut bytes = data.to_vec();
    let at = usize::try_from(word >> 3).unwrap_or_default() % bytes.len();
    bytes[at] ^= 1 << (word & 7);
    bytes.into()
}
