//! A stream of numbered events at a rate.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::Seen;

/// Events `0`, `1`, … at fixed times from the request on; late ones are caught up, none is left out.
pub struct Events {
    id: u64,
    next: u64,
    end: u64,
    interval: Interval,
    seen: Arc<Seen>,
}

impl Events {
    /// `count` events, the first after `hold`, `gap` apart.
    pub fn new(id: u64, count: u64, hold: Duration, gap: Duration, seen: Arc<Seen>) -> Self {
        let mut interval = interval_at(Instant::now() + hold, gap);
        interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Self {
            id,
            next: 0,
            end: count,
            interval,
            seen,
        }
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.next == self.end {
            return Poll::Ready(None);
        }
        ready!(self.interval.poll_tick(cx));
        let number = self.next;
        self.next += 1;
        let event = format!("id: {number}\ndata: {{\"token\":\"word {number}\"}}\n\n");
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(event)))))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.seen.close(self.id);
    }
}
