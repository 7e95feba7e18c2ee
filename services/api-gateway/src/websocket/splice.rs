//! Bytes from one side to the other, both ways.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, sleep, timeout};
use touchstone_resilience::stream;

use super::frames::{Frames, close};

/// Most bytes of one read. They lie on the stack while they pass, so that a silent connection
/// holds no buffer.
const READ_BYTES: usize = 8 * 1024;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides had finished.
    Finished,
    /// The client broke.
    ClientBroke,
    /// The service broke, or ended without saying so.
    ServiceBroke,
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
            Self::ClientBroke => "client_broke",
            Self::ServiceBroke => "service_broke",
            Self::Idle => "idle",
            Self::Expired => "expired",
            Self::Unjudged => "unjudged",
            Self::Stopping => "stopping",
        }
    }

    /// What it says about the service.
    pub const fn of_call(self) -> stream::End {
        match self {
            Self::Finished => stream::End::Complete,
            Self::ServiceBroke => stream::End::BrokenOff,
            Self::ClientBroke | Self::Idle | Self::Expired | Self::Unjudged | Self::Stopping => {
                stream::End::CallerLeft
            }
        }
    }

    /// Code and reason of the close frame that tells it; none when there is nobody to tell.
    const fn told(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Finished | Self::ClientBroke | Self::ServiceBroke => None,
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

/// Which side of a direction broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    /// The one that is read.
    Source,
    /// The one that is written to.
    Sink,
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
    /// Whether the side that is read has ended.
    fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended | Phase::Done)
    }

    /// Passes on what there is; ready when the direction has ended.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        mut from: Pin<&mut R>,
        mut to: Pin<&mut W>,
        moved: &mut bool,
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead,
        W: AsyncWrite,
    {
        while self.phase != Phase::Done {
            while !self.pending.is_empty() {
                let written = ready!(to.as_mut().poll_write(cx, &self.pending));
                let written = written.map_err(|_| Broken::Sink)?;
                if written == 0 {
                    return Poll::Ready(Err(Broken::Sink));
                }
                self.pending.advance(written);
                self.unflushed = true;
                *moved = true;
            }
            if self.phase == Phase::LastFrame && self.frames.at_boundary() {
                ready!(to.as_mut().poll_flush(cx)).map_err(|_| Broken::Sink)?;
                self.phase = Phase::Done;
                break;
            }
            if self.phase == Phase::Ended {
                ready!(to.as_mut().poll_shutdown(cx)).map_err(|_| Broken::Sink)?;
                self.phase = Phase::Done;
                break;
            }
            let mut space = [MaybeUninit::uninit(); READ_BYTES];
            let mut buffer = ReadBuf::uninit(&mut space);
            match from.as_mut().poll_read(cx, &mut buffer) {
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Source)),
                Poll::Ready(Ok(())) => {
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
                            Poll::Ready(written) => written.map_err(|_| Broken::Sink)?,
                            Poll::Pending => 0,
                        }
                    };
                    self.unflushed |= written > 0;
                    self.pending = Bytes::copy_from_slice(&read[written..]);
                }
                Poll::Pending => {
                    if self.unflushed {
                        ready!(to.as_mut().poll_flush(cx)).map_err(|_| Broken::Sink)?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// How a connection ended whose directions have come so far: up to the service, and down from it.
fn ended(up: Poll<Result<(), Broken>>, down: Poll<Result<(), Broken>>) -> Option<End> {
    match (up, down) {
        (Poll::Ready(Err(Broken::Sink)), _) | (_, Poll::Ready(Err(Broken::Source))) => {
            Some(End::ServiceBroke)
        }
        (Poll::Ready(Err(Broken::Source)), _) | (_, Poll::Ready(Err(Broken::Sink))) => {
            Some(End::ClientBroke)
        }
        (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Some(End::Finished),
        _ => None,
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
    let mut broke_off = false;
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
        // A service that was stopped or died: nobody had said goodbye.
        let said = up.frames.is_closed() || down.frames.is_closed();
        broke_off |= down.has_ended() && up.phase == Phase::Open && !said;
        if let Some(end) = ended(rising, falling) {
            return Poll::Ready(end);
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
    let told = end.told();
    let end = match end {
        End::Finished | End::Idle if broke_off => End::ServiceBroke,
        end => end,
    };
    let Some((code, reason)) = told else {
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
                (Poll::Ready(Err(broken)), _) | (_, Poll::Ready(Err(broken))) => {
                    Poll::Ready(Err(broken))
                }
                _ => Poll::Pending,
            }
        });
        if rest.await.is_err() {
            return Ok(());
        }
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
