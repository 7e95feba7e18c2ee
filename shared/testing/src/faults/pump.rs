use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Counters, Fault, Order};

const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks that are on the way while they are delayed.
const DELAYED_CHUNKS: usize = 256;

/// How a connection ends.
enum End {
    /// Both sides are done.
    Closed,
    /// The fault asks for a reset.
    Reset,
}

/// Counts a connection as open while it lives.
struct Open(Arc<Counters>);

impl Open {
    fn new(counters: Arc<Counters>) -> Self {
        counters.open.fetch_add(1, Ordering::SeqCst);
        Self(counters)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Serves one connection until either side, or the fault, ends it.
pub(super) async fn run(
    client: TcpStream,
    upstream: SocketAddr,
    mut order: watch::Receiver<Order>,
    counters: Arc<Counters>,
) {
    let _open = Open::new(Arc::clone(&counters));
    let _ = client.set_nodelay(true);
    let first = order.borrow().fault;
    if matches!(first, Fault::HalfOpen | Fault::Blackhole) {
        counters.hit();
        // What the client sends meanwhile waits in the socket's buffer.
        let _ = order.wait_for(|order| order.fault != first).await;
    }
    if resets(order.borrow().fault) {
        counters.hit();
        reset(&client);
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else {
        reset(&client);
        return;
    };
    let _ = server.set_nodelay(true);
    match pump(client, server, order, &counters).await {
        Ok((client, End::Reset)) => {
            counters.hit();
            reset(&client);
        }
        // A broken connection ends by being dropped.
        Ok((_, End::Closed)) | Err(_) => {}
    }
}

fn resets(fault: Fault) -> bool {
    matches!(fault, Fault::Reset | Fault::Refuse)
}

fn reset(stream: &TcpStream) {
    // Without it the close would be an orderly one.
    let _ = stream.set_zero_linger();
}

/// Moves bytes both ways; gives the client's socket back for the way it is closed.
async fn pump(
    client: TcpStream,
    server: TcpStream,
    order: watch::Receiver<Order>,
    counters: &Arc<Counters>,
) -> io::Result<(TcpStream, End)> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let end = {
        let there = Way::new(order.clone(), counters, false);
        let back = Way::new(order.clone(), counters, true);
        let there = there.run(&mut from_client, &mut to_server);
        let back = back.run(&mut from_server, &mut to_client);
        let asked = asked_to_reset(order);
        tokio::select! {
            () = asked => End::Reset,
            // The answers' end ends the connection; the requests' end is only a half-close.
            ended = back => { ended?; End::Closed }
            ended = async { there.await?; std::future::pending::<io::Result<()>>().await } => {
                ended?;
                End::Closed
            }
        }
    };
    let client = from_client
        .reunite(to_client)
        .map_err(|error| io::Error::other(error.to_string()))?;
    Ok((client, end))
}

async fn asked_to_reset(mut order: watch::Receiver<Order>) {
    let gone = order.wait_for(|order| resets(order.fault)).await.is_err();
    if gone {
        std::future::pending::<()>().await;
    }
}

/// One direction of a connection.
struct Way<'a> {
    order: watch::Receiver<Order>,
    counters: &'a Arc<Counters>,
    is_answer: bool,
    passed: u64,
}

impl<'a> Way<'a> {
    fn new(order: watch::Receiver<Order>, counters: &'a Arc<Counters>, is_answer: bool) -> Self {
        Self {
            order,
            counters,
            is_answer,
            passed: 0,
        }
    }

    async fn run(mut self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> io::Result<()> {
        let (sender, mut delayed) = mpsc::channel::<(Instant, Vec<u8>)>(DELAYED_CHUNKS);
        let order = self.order.clone();
        let counters = Arc::clone(self.counters);
        let read = async move {
            let mut chunk = vec![0; CHUNK_BYTES];
            loop {
                let read = from.read(&mut chunk).await?;
                let delay = match order.borrow().fault {
                    Fault::Latency { delay } => {
                        counters.hit();
                        delay
                    }
                    _ => Duration::ZERO,
                };
                let bytes = chunk[..read].to_vec();
                let due = Instant::now() + delay;
                // An empty chunk is the end, which is as late as everything else.
                if sender.send((due, bytes)).await.is_err() || read == 0 {
                    return Ok(());
                }
            }
        };
        let write = async {
            while let Some((due, bytes)) = delayed.recv().await {
                if due > Instant::now() {
                    tokio::time::sleep_until(due).await;
                }
                if bytes.is_empty() || !self.pass(bytes, to).await? {
                    break;
                }
            }
            to.shutdown().await
        };
        let (read, written): (io::Result<()>, io::Result<()>) = {
            let mut read = std::pin::pin!(read);
            let mut write = std::pin::pin!(write);
            tokio::select! {
                written = &mut write => (Ok(()), written),
                read = &mut read => (read, write.await),
            }
        };
        read.and(written)
    }

    /// Passes a chunk on as the fault wants; `false` when the connection is to end.
    async fn pass(&mut self, mut bytes: Vec<u8>, to: &mut OwnedWriteHalf) -> io::Result<bool> {
        if self.order.borrow_and_update().fault == Fault::Blackhole {
            // Late and not lost, as behind a partition: the sender would send them again.
            self.counters.hit();
            let _ = self
                .order
                .wait_for(|order| order.fault != Fault::Blackhole)
                .await;
        }
        let fault = self.order.borrow_and_update().fault;
        if !self.is_answer {
            to.write_all(&bytes).await?;
            return Ok(true);
        }
        let before = self.passed;
        match fault {
            Fault::Slice { bytes: size, pause } => {
                for slice in bytes.chunks(size.max(1)) {
                    self.counters.hit();
                    self.answer(slice, to).await?;
                    tokio::time::sleep(pause).await;
                }
            }
            Fault::Bandwidth { bytes_per_second } => {
                self.counters.hit();
                let rate = bytes_per_second.max(1);
                for slice in bytes.chunks(rate.div_ceil(20) as usize) {
                    self.answer(slice, to).await?;
                    let pause = slice.len() as f64 / rate as f64;
                    tokio::time::sleep(Duration::from_secs_f64(pause)).await;
                }
            }
            Fault::Cut { after_bytes } => {
                let room = after_bytes.saturating_sub(before);
                if (bytes.len() as u64) < room {
                    self.answer(&bytes, to).await?;
                } else {
                    self.counters.hit();
                    self.answer(&bytes[..room as usize], to).await?;
                    return Ok(false);
                }
            }
            Fault::Flip { at_byte } => {
                let position = at_byte
                    .checked_sub(before)
                    .and_then(|at| usize::try_from(at).ok());
                if let Some(byte) = position.and_then(|at| bytes.get_mut(at)) {
                    *byte = !*byte;
                    self.counters.hit();
                }
                self.answer(&bytes, to).await?;
            }
            _ => self.answer(&bytes, to).await?,
        }
        Ok(true)
    }

    async fn answer(&mut self, bytes: &[u8], to: &mut OwnedWriteHalf) -> io::Result<()> {
        to.write_all(bytes).await?;
        self.passed += bytes.len() as u64;
        let answered = &self.counters.answered_bytes;
        answered.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Ok(())
    }
}
