//! Streams of events: every number must come, once and in order.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Connection;

/// What one stream showed.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Events in order.
    pub events: u64,
    /// From the request to the first event.
    pub first: Duration,
    /// When the client left.
    pub left: Instant,
}

/// How long a client listens.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// To the end of the stream, which must come after so many events.
    End(u64),
    /// It leaves after so long, in the middle of whatever happens.
    Leave(Duration),
}

/// Opens a stream and listens.
pub async fn listen(address: SocketAddr, request: &[u8], until: Until) -> anyhow::Result<Heard> {
    let mut stream = Connection::open(address).await?.into_stream();
    let start = Instant::now();
    stream.write_all(request).await?;
    let mut parser = Parser::default();
    let mut first = None;
    let mut buffer = [0; 4096];
    let leave = async {
        match until {
            Until::End(_) => std::future::pending().await,
            Until::Leave(after) => tokio::time::sleep(after).await,
        }
    };
    let mut leave = std::pin::pin!(leave);
    loop {
        let read = tokio::select! {
            read = stream.read(&mut buffer) => read?,
            () = &mut leave => break,
        };
        if read == 0 {
            break;
        }
        parser.read(&buffer[..read])?;
        if parser.events > 0 && first.is_none() {
            first = Some(start.elapsed());
        }
        if parser.finished {
            break;
        }
    }
    if let Until::End(count) = until {
        anyhow::ensure!(
            parser.finished && parser.events == count,
            "a stream lost frames: {} of {count} came, last chunk {}",
            parser.events,
            parser.finished
        );
    }
    let left = Instant::now();
    drop(stream);
    Ok(Heard {
        events: parser.events,
        first: first.unwrap_or(Duration::MAX),
        left,
    })
}

/// Reads head, chunks and events as they come, in whatever pieces.
#[derive(Debug, Default)]
struct Parser {
    pending: Vec<u8>,
    text: Vec<u8>,
    head_done: bool,
    /// Whether the last chunk came.
    finished: bool,
    /// Events so far.
    events: u64,
}

impl Parser {
    fn read(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.pending.extend_from_slice(bytes);
        if !self.head_done && !self.take_head()? {
            return Ok(());
        }
        while self.take_chunk()? {}
        while let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = self.text.drain(..end + 2).collect();
            self.take_event(&event)?;
        }
        Ok(())
    }

    fn take_head(&mut self) -> anyhow::Result<bool> {
        let Some(end) = self.pending.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(false);
        };
        let head: Vec<u8> = self.pending.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        anyhow::ensure!(head.starts_with("http/1.1 200"), "no stream: {head}");
        anyhow::ensure!(
            head.contains("transfer-encoding: chunked"),
            "no chunks: {head}"
        );
        self.head_done = true;
        Ok(true)
    }

    fn take_chunk(&mut self) -> anyhow::Result<bool> {
        let Some(end) = self.pending.windows(2).position(|two| two == b"\r\n") else {
            return Ok(false);
        };
        let size = std::str::from_utf8(&self.pending[..end])?;
        let size = usize::from_str_radix(size, 16).with_context(|| format!("chunk `{size}`"))?;
        if self.pending.len() < end + 2 + size + 2 {
            return Ok(false);
        }
        self.text
            .extend_from_slice(&self.pending[end + 2..end + 2 + size]);
        self.pending.drain(..end + 2 + size + 2);
        self.finished = size == 0;
        Ok(!self.finished)
    }

    fn take_event(&mut self, event: &[u8]) -> anyhow::Result<()> {
        // Comments keep a connection alive and are no events.
        if event.starts_with(b":") {
            return Ok(());
        }
        let expected = format!("id: {}\n", self.events);
        anyhow::ensure!(
            event.starts_with(expected.as_bytes()),
            "event {} is missing, there came {}",
            self.events,
            String::from_utf8_lossy(event)
        );
        self.events += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[test]
    fn events_in_any_pieces_are_counted() {
        let mut whole = HEAD.to_vec();
        whole.extend_from_slice(b"d\r\nid: 0\ndata: a\r\n3\r\n\n\n:\r\n2\r\n\n\n\r\nf\r\nid: 1\ndata: b\n\n\r\n0\r\n\r\n");
        let mut parser = Parser::default();
        for byte in whole {
            parser.read(&[byte]).unwrap();
        }
        assert_eq!((parser.events, parser.finished), (2, true));
    }

    #[test]
    fn a_missing_event_is_noticed() {
        let mut parser = Parser::default();
        parser.read(HEAD).unwrap();
        assert!(parser.read(b"f\r\nid: 1\ndata: b\n\n\r\n").is_err());
    }
}
