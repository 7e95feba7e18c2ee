//! Bytes from one side to the other, both ways.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, sleep, timeout};

use super::frames::{Frames, close};

/// Most bytes of one read. They lie on the stack while they pass, so that a silent connection
/// holds no buffer.
const READ_BYTES: usize = 8 * 1024;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides had finished.
    Finished,
    /// One side broke.
    Broken,
    /// Nothing came for too long.
    Idle,
    /// The credential does not hold any more.
    Expired,
    /// The credential could not be judged for too long.
    Unjudged,
    /// The gateway stops.
    Stopping,
}

impl End {
    /// The label in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Broken => "broken",
            Self::Idle => "idle",
            Self::Expired => "expired",
            Self::Unjudged => "unjudged",
            Self::Stopping => "stopping",
        }
    }

    /// Code and reason of the close frame that tells it; none when there is nobody to tell.
    const fn told(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Finished | Self::Broken => None,
            Self::Idle => Some((1001, "idle for too long")),
            Self::Expired => Some((4401, "the credential does not hold any more")),
            Self::Unjudged => Some((1013, "the credential cannot be judged")),
            Self::Stopping => Some((1001, "the server stops")),
        }
    }
}

/// How patient a connection is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Longest silence in both directions.
    pub idle: Duration,
    /// Longest time to say goodbye.
    pub farewell: Duration,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    frames: Frames,
    /// What was read and not yet written.
    pending: Bytes,
    /// Whether something was written since the last flush.
    unflushed: bool,
    phase: Phase,
}

/// How far a direction has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// It goes on.
    #[default]
    Open,
    /// It stops where the frame ends that is under way.
    LastFrame,
    /// The reading side has ended.
    Ended,
    /// The end was passed on.
    Done,
}

impl Way {
    /// Passes on what there is; ready when the direction has ended.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        mut from: Pin<&mut R>,
        mut to: Pin<&mut W>,
        moved: &mut bool,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead,
        W: AsyncWrite,
    {
        while self.phase != Phase::Done {
            while !self.pending.is_empty() {
                let written = ready!(to.as_mut().poll_write(cx, &self.pending))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.pending.advance(written);
                self.unflushed = true;
                *moved = true;
            }
            if self.phase == Phase::LastFrame && self.frames.at_boundary() {
                ready!(to.as_mut().poll_flush(cx))?;
                self.phase = Phase::Done;
                break;
            }
            if self.phase == Phase::Ended {
                ready!(to.as_mut().poll_shutdown(cx))?;
                self.phase = Phase::Done;
                break;
            }
            let mut space = [MaybeUninit::uninit(); READ_BYTES];
            let mut buffer = ReadBuf::uninit(&mut space);
            match from.as_mut().poll_read(cx, &mut buffer)? {
                Poll::Ready(()) => {
                    *moved = true;
                    let read = buffer.filled();
                    let read = if self.phase == Phase::LastFrame {
                        let rest = self.frames.finish(read);
                        &read[..rest]
                    } else {
                        self.frames.feed(read);
                        read
                    };
                    if buffer.filled().is_empty() {
                        self.phase = Phase::Ended;
                    }
                    // Most of the time it can go at once, and nothing is kept.
                    let written = if read.is_empty() {
                        0
                    } else {
                        match to.as_mut().poll_write(cx, read) {
                            Poll::Ready(written) => written?,
                            Poll::Pending => 0,
                        }
                    };
                    self.unflushed |= written > 0;
                    self.pending = Bytes::copy_from_slice(&read[written..]);
                }
                Poll::Pending => {
                    if self.unflushed {
                        ready!(to.as_mut().poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Passes bytes both ways until both have ended, until nothing comes for too long, or until
/// `interrupt` says why not to go on. Then both sides are told, as far as frames allow.
pub(crate) async fn splice<C, U>(
    client: C,
    upstream: U,
    patience: Patience,
    mask: [u8; 4],
    interrupt: impl Future<Output = End>,
) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let (mut client_reads, mut client_writes) = tokio::io::split(client);
    let (mut upstream_reads, mut upstream_writes) = tokio::io::split(upstream);
    let (mut up, mut down) = (Way::default(), Way::default());
    let mut last = Instant::now();
    let mut silence = Box::pin(sleep(patience.idle));
    let mut interrupt = Box::pin(interrupt);
    let end = poll_fn(|cx| {
        let mut moved = false;
        let rising = up.poll(
            cx,
            Pin::new(&mut client_reads),
            Pin::new(&mut upstream_writes),
            &mut moved,
        );
        let falling = down.poll(
            cx,
            Pin::new(&mut upstream_reads),
            Pin::new(&mut client_writes),
            &mut moved,
        );
        if moved {
            last = Instant::now();
        }
        match (rising, falling) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(End::Broken),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Finished),
            _ => {}
        }
        if let Poll::Ready(end) = interrupt.as_mut().poll(cx) {
            return Poll::Ready(end);
        }
        while silence.as_mut().poll(cx).is_ready() {
            let until = last + patience.idle;
            if Instant::now() >= until {
                return Poll::Ready(End::Idle);
            }
            silence.as_mut().reset(until);
        }
        Poll::Pending
    })
    .await;
    let Some((code, reason)) = end.told() else {
        return end;
    };
    let farewell = async {
        // Both directions end with the frame that is under way.
        for way in [&mut up, &mut down] {
            if way.phase == Phase::Open {
                way.phase = Phase::LastFrame;
            }
        }
        let mut moved = false;
        let rest = poll_fn(|cx| {
            let rising = up.poll(
                cx,
                Pin::new(&mut client_reads),
                Pin::new(&mut upstream_writes),
                &mut moved,
            );
            let falling = down.poll(
                cx,
                Pin::new(&mut upstream_reads),
                Pin::new(&mut client_writes),
                &mut moved,
            );
            match (rising, falling) {
                (Poll::Ready(rising), Poll::Ready(falling)) => Poll::Ready(rising.and(falling)),
                (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => {
                    Poll::Ready(Err(error))
                }
                _ => Poll::Pending,
            }
        });
        rest.await?;
        client_writes.write_all(&close(code, reason, None)).await?;
        client_writes.flush().await?;
        // The upstream hears that its peer went away, whatever the client is told.
        upstream_writes
            .write_all(&close(1001, "", Some(mask)))
            .await?;
        upstream_writes.flush().await?;
        // What the client still sends, its answer to the close at last.
        let mut rest = [0; 256];
        while tokio::io::AsyncReadExt::read(&mut client_reads, &mut rest).await? > 0 {}
        client_writes.shutdown().await
    };
    let _ = timeout(patience.farewell, farewell).await;
    end
}

#[cfg(test)]
mod tests;
