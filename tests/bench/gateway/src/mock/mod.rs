//! The upstream of every contestant, in a thread of this program: it and the load share a clock.

mod events;
mod plain;
mod service;
mod websocket;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::Context;
use tokio::net::TcpListener;

pub use plain::body as plain_body;
pub use service::{SLOT_TIME, SLOTS};

/// A running mock; it ends with the program.
#[derive(Debug)]
pub struct Mock {
    /// Answers every request with the same 1 KiB, as cheaply as can be.
    pub plain: SocketAddr,
    /// Does what the query asks for.
    pub service: SocketAddr,
    /// Sends WebSocket messages back.
    pub websocket: SocketAddr,
    /// What happened.
    pub seen: Arc<Seen>,
}

/// What the mock saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Requests for the plain kilobyte.
    pub plain: AtomicU64,
    /// Requests that were failed.
    pub failed: AtomicU64,
    /// Requests for what may be cached.
    pub cacheable: AtomicU64,
    /// Requests that waited for a slot and were answered.
    pub slow: AtomicU64,
    /// When the body of a stream was let go, by its id.
    closed: Mutex<HashMap<u64, Instant>>,
}

impl Seen {
    /// When the stream was let go.
    pub fn closed(&self, id: u64) -> Option<Instant> {
        self.closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .copied()
    }

    fn close(&self, id: u64) {
        let now = Instant::now();
        self.closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, now);
    }
}

impl Mock {
    /// Starts it on free ports.
    pub fn start() -> anyhow::Result<Self> {
        let (tell, told) = std::sync::mpsc::channel();
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        thread::Builder::new().name("mock".into()).spawn(move || {
            if let Err(error) = serve(shared, &tell) {
                let _ = tell.send(Err(error));
            }
        })?;
        let [plain, service, websocket] = told.recv().context("the mock ended")??;
        Ok(Self {
            plain,
            service,
            websocket,
            seen,
        })
    }
}

type Addresses = [SocketAddr; 3];

fn serve(
    seen: Arc<Seen>,
    tell: &std::sync::mpsc::Sender<anyhow::Result<Addresses>>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let plain = TcpListener::bind(("127.0.0.1", 0)).await?;
        let service = TcpListener::bind(("127.0.0.1", 0)).await?;
        let websocket = TcpListener::bind(("127.0.0.1", 0)).await?;
        let all = [&plain, &service, &websocket];
        let [Ok(first), Ok(second), Ok(third)] = all.map(TcpListener::local_addr) else {
            anyhow::bail!("a socket without an address");
        };
        tell.send(Ok([first, second, third]))?;
        tokio::try_join!(
            plain::serve(plain, Arc::clone(&seen)),
            service::serve(service, seen),
            websocket::serve(websocket)
        )?;
        Ok(())
    })
}
