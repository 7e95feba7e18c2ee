//! Faults of a network: a TCP proxy that delays, cuts, refuses and corrupts on command.
//!
//! It sits between a client and a server of a test. Every fault counts what it did, so that a test
//! can prove that the fault it speaks of has happened ([`TcpProxy::hits`]).

mod pump;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What the proxy does to connections, open and new ones alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Bytes pass as they are.
    #[default]
    None,
    /// Every byte arrives so much later, in each direction; the rate stays.
    Latency {
        /// One way.
        delay: Duration,
    },
    /// Connections end with a reset.
    Reset,
    /// Open connections stay open, and no byte passes any more; new ones are accepted and silent.
    Blackhole,
    /// New connections are accepted and never answered; open ones go on.
    HalfOpen,
    /// Answers arrive in slices.
    Slice {
        /// Largest slice.
        bytes: usize,
        /// Pause after each slice.
        pause: Duration,
    },
    /// Answers arrive at this rate.
    Bandwidth {
        /// Bytes per second of each connection.
        bytes_per_second: u64,
    },
    /// The connection is closed after so many bytes of answers.
    Cut {
        /// Counted from the connection's start.
        after_bytes: u64,
    },
    /// Nobody listens, and open connections are reset.
    Refuse,
    /// One byte of the answers arrives with all of its bits inverted.
    Flip {
        /// Its position, counted from the connection's start.
        at_byte: u64,
    },
}

/// A TCP proxy on a free port of the loopback; stops when dropped.
#[derive(Debug)]
pub struct TcpProxy {
    address: SocketAddr,
    orders: watch::Sender<Order>,
    obeyed: watch::Receiver<u64>,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Order {
    number: u64,
    fault: Fault,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    open: AtomicU64,
    hits: AtomicU64,
    answered_bytes: AtomicU64,
}

impl Counters {
    fn hit(&self) {
        self.hits.fetch_add(1, Ordering::SeqCst);
    }
}

impl TcpProxy {
    /// Starts in front of `upstream`, without a fault.
    #[expect(
        clippy::disallowed_methods,
        reason = "a fixture ends its own tasks when it is dropped"
    )]
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = bind(([127, 0, 0, 1], 0).into()).await;
        let address = listener.local_addr().expect("a bound listener");
        let (orders, order) = watch::channel(Order::default());
        let (done, obeyed) = watch::channel(0);
        let counters = Arc::<Counters>::default();
        let serve = Serve {
            address,
            upstream,
            order,
            done,
            counters: Arc::clone(&counters),
        };
        Self {
            address,
            orders,
            obeyed,
            counters,
            task: tokio::spawn(serve.run(listener)),
        }
    }

    /// Where clients connect.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The address as a URL, e.g. `http://127.0.0.1:41234`.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// Changes the fault; in force when this returns, on open connections at their next byte.
    pub async fn set(&self, fault: Fault) {
        let mut number = 0;
        self.orders.send_modify(|order| {
            number = order.number + 1;
            *order = Order { number, fault };
        });
        let mut obeyed = self.obeyed.clone();
        let waited = obeyed.wait_for(|done| *done >= number).await;
        waited.expect("the proxy runs as long as its handle");
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.counters.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub fn open(&self) -> u64 {
        self.counters.open.load(Ordering::SeqCst)
    }

    /// How often a fault did something: a reset, a delayed or swallowed chunk, a slice, a cut, a
    /// flipped byte; for [`Fault::Refuse`], the listener's end and every reset connection.
    pub fn hits(&self) -> u64 {
        self.counters.hits.load(Ordering::SeqCst)
    }

    /// Bytes of answers that reached clients.
    pub fn answered_bytes(&self) -> u64 {
        self.counters.answered_bytes.load(Ordering::SeqCst)
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn bind(address: SocketAddr) -> TcpListener {
    TcpListener::bind(address)
        .await
        .expect("a port of the loopback")
}

struct Serve {
    address: SocketAddr,
    upstream: SocketAddr,
    order: watch::Receiver<Order>,
    done: watch::Sender<u64>,
    counters: Arc<Counters>,
}

impl Serve {
    async fn run(mut self, listener: TcpListener) {
        let mut listener = Some(listener);
        // Dropped with this future, and every connection with it.
        let mut connections = JoinSet::new();
        loop {
            let order = *self.order.borrow_and_update();
            match (order.fault, &listener) {
                (Fault::Refuse, Some(_)) => {
                    listener = None;
                    self.counters.hit();
                }
                (Fault::Refuse, None) | (_, Some(_)) => {}
                (_, None) => listener = Some(bind(self.address).await),
            }
            self.done.send_replace(order.number);
            tokio::select! {
                changed = self.order.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                accepted = accept(listener.as_ref()) => {
                    // A connection that was gone before it was accepted is none.
                    if let Ok(client) = accepted {
                        self.counters.connections.fetch_add(1, Ordering::SeqCst);
                        connections.spawn(pump::run(
                            client,
                            self.upstream,
                            self.order.clone(),
                            Arc::clone(&self.counters),
                        ));
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => Ok(listener.accept().await?.0),
        None => std::future::pending().await,
    }
}
