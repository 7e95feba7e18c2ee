//! The probe's server: as little HTTP/1.1 as it takes, so that nothing happens that is not written.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::script::{End, Probe, QUEUE_SERVICE, RIGHT, Reply};

/// What the server knows of each probe.
#[derive(Debug, Default)]
struct Seen {
    requests: u64,
    /// The first request: freezes are reckoned from it.
    begun: Option<Instant>,
    /// When the one server of the queue is free.
    free_at: Option<Instant>,
}

/// A server of probes.
#[derive(Clone, Debug)]
pub struct Server {
    seen: Arc<Mutex<BTreeMap<&'static str, Seen>>>,
    /// How long each run is, for what happens at a time in it.
    run: Duration,
}

/// Longest head that is read.
const HEAD: usize = 16 * 1024;

impl Server {
    /// For runs of this length.
    pub fn new(run: Duration) -> Self {
        Self {
            seen: Arc::default(),
            run,
        }
    }

    /// How many requests a probe has seen.
    pub fn requests(&self, probe: Probe) -> u64 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(probe.name()).map_or(0, |seen| seen.requests)
    }

    /// Serves until `over`.
    pub async fn serve(self, listener: TcpListener, over: CancellationToken) {
        let mut connections = JoinSet::new();
        while let Some(accepted) = over.run_until_cancelled(listener.accept()).await {
            if let Ok((stream, _)) = accepted {
                connections.spawn(self.clone().connection(stream));
            }
            while connections.try_join_next().is_some() {}
        }
    }

    /// Binds a port of this machine.
    pub async fn bind(port: u16) -> std::io::Result<TcpListener> {
        TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await
    }

    async fn connection(self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut buffer = Vec::with_capacity(1024);
        loop {
            let Some(Head {
                path,
                length,
                stays,
            }) = head(&mut stream, &mut buffer).await
            else {
                return;
            };
            let arrived = Instant::now();
            buffer.drain(..length);
            let done = match Probe::find(path.trim_start_matches('/')) {
                Some(probe) => self.answer(&mut stream, probe, arrived, stays).await,
                // Where redirections lead, and whoever looks whether anybody is there.
                None => {
                    let reply = Reply {
                        before_head: Duration::ZERO,
                        ..Probe::Steady.reply(0)
                    };
                    write(&mut stream, &reply, None, stays).await
                }
            };
            if !matches!(done, Ok(true)) {
                return;
            }
        }
    }

    async fn answer(
        &self,
        stream: &mut TcpStream,
        probe: Probe,
        arrived: Instant,
        stays: Stays,
    ) -> std::io::Result<bool> {
        let (reply, at) = self.plan(probe, arrived);
        tokio::time::sleep_until(at).await;
        if reply.end == End::Reset {
            // A connection that lingers for no time ends with a reset.
            stream.set_zero_linger()?;
            return Ok(false);
        }
        let elsewhere = (probe == Probe::Redirect).then_some("/redirected");
        write(stream, &reply, elsewhere, stays).await
    }

    /// The reply, and when its head is due.
    fn plan(&self, probe: Probe, arrived: Instant) -> (Reply, Instant) {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = all.entry(probe.name()).or_default();
        let reply = probe.reply(seen.requests);
        seen.requests += 1;
        let begun = *seen.begun.get_or_insert(arrived);
        let mut at = arrived + reply.before_head;
        if let Some((from, to)) = probe.frozen(self.run)
            && (begun + from..begun + to).contains(&at)
        {
            at = begun + to;
        }
        if probe == Probe::Queue {
            let free = seen.free_at.map_or(arrived, |free| free.max(arrived));
            at = free + QUEUE_SERVICE;
            seen.free_at = Some(at);
        }
        (reply, at)
    }
}

/// Whether a connection stays after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stays {
    /// As of HTTP/1.1.
    Yes,
    /// It is of HTTP/1.0, and the client asked for it.
    Asked,
    /// It is of HTTP/1.0.
    No,
}

/// The head of a request.
struct Head {
    path: String,
    /// In bytes.
    length: usize,
    stays: Stays,
}

/// The next request; `None` when there is none.
async fn head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Head> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&buffer[..end]);
            let path = text
                .split_whitespace()
                .nth(1)?
                .split('?')
                .next()?
                .to_owned();
            let is_old = text.lines().next()?.ends_with("HTTP/1.0");
            let asks = text
                .to_ascii_lowercase()
                .contains("\nconnection: keep-alive");
            let stays = match (is_old, asks) {
                (false, _) => Stays::Yes,
                (true, true) => Stays::Asked,
                (true, false) => Stays::No,
            };
            let length = end + 4;
            return Some(Head {
                path,
                length,
                stays,
            });
        }
        if buffer.len() > HEAD || stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// Writes a reply; tells whether the connection stays.
async fn write(
    stream: &mut TcpStream,
    reply: &Reply,
    location: Option<&str>,
    stays: Stays,
) -> std::io::Result<bool> {
    let is_stream = reply.pieces.len() > 1;
    let length: usize = reply.pieces.iter().map(String::len).sum();
    let missing = if reply.end == End::Cut {
        RIGHT.len()
    } else {
        0
    };
    let kind = if is_stream {
        "text/event-stream"
    } else {
        "text/plain"
    };
    let mut head = format!(
        "HTTP/1.1 {} Probe\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n",
        reply.status,
        length + missing
    );
    if reply.end == End::Close || stays == Stays::No {
        head.push_str("connection: close\r\n");
    } else if stays == Stays::Asked {
        head.push_str("connection: keep-alive\r\n");
    }
    if let Some(location) = location {
        head.extend(["location: ", location, "\r\n"]);
    }
    if reply.status == 429 {
        head.push_str("retry-after: 1\r\n");
    }
    head.push_str("\r\n");
    if reply.before_piece.is_zero() {
        head.push_str(&reply.pieces.concat());
        stream.write_all(head.as_bytes()).await?;
    } else {
        stream.write_all(head.as_bytes()).await?;
        // From moment to moment, so that what timers add does not add up.
        let mut due = Instant::now();
        for piece in &reply.pieces {
            due += reply.before_piece;
            tokio::time::sleep_until(due).await;
            stream.write_all(piece.as_bytes()).await?;
        }
    }
    Ok(reply.end == End::Keep && stays != Stays::No)
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn connections_of_old_clients_end_unless_they_ask_otherwise() {
        let listener = Server::bind(0).await.unwrap();
        let address = listener.local_addr().unwrap();
        let over = CancellationToken::new();
        let asked = async {
            // Reading to the end comes back, because the server closes.
            let answer = ask(address, "GET /errors HTTP/1.0\r\n\r\n").await;
            assert!(answer.contains("connection: close\r\n"), "{answer}");
            let twice = "GET /errors HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n\
                         GET /errors HTTP/1.0\r\n\r\n";
            let answers = ask(address, twice).await;
            assert!(answers.contains("connection: keep-alive\r\n"), "{answers}");
            assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
            over.cancel();
        };
        let server = Server::new(Duration::from_secs(1));
        tokio::join!(server.serve(listener, over.clone()), asked);
    }
}
