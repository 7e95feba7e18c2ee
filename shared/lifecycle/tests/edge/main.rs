//! Hostile clients on real sockets.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod http1;
mod http2;
mod stopping;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use touchstone_lifecycle::{Edge, EdgeMetrics, Lifecycle, Listener, Pace, Reason};

/// How long to wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// A limit that a test waits for.
const SOON: Duration = Duration::from_millis(100);

/// Errs when a client's connection has ended.
type Ended = tokio::sync::oneshot::Receiver<()>;

/// A server with its limits, which counts what reaches it.
struct Server {
    life: Lifecycle,
    address: SocketAddr,
    metrics: EdgeMetrics,
    reached: Arc<AtomicUsize>,
}

impl Server {
    /// Serves: reads every body, and answers with its length; `/endless` streams,
    /// `/deaf` answers without reading.
    async fn start(change: impl FnOnce(&mut Edge)) -> Self {
        let metrics = EdgeMetrics::default();
        let mut edge = Edge {
            metrics: metrics.clone(),
            ..Edge::default()
        };
        change(&mut edge);
        let (life, reached) = (Lifecycle::new(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&reached);
        let router = Router::new().fallback(move |request: Request| {
            count.fetch_add(1, Ordering::AcqRel);
            handle(request)
        });
        let listener = Listener::bind("test", ([127, 0, 0, 1], 0).into())
            .await
            .unwrap();
        let address = listener.address();
        life.serve_edge(listener, router, edge);
        Self {
            life,
            address,
            metrics,
            reached,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and returns everything that comes back until the server closes.
    async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        // The server may close before it has read everything.
        let _ = stream.write_all(bytes.as_ref()).await;
        until_closed(&mut stream).await
    }

    /// Runs a client's connection; the receiver errs when it has ended.
    fn run<T>(&self, connection: impl Future<Output = T> + Send + 'static) -> Ended {
        let (running, ended) = tokio::sync::oneshot::channel();
        self.life.spawn("client", async move {
            connection.await;
            drop(running);
        });
        ended
    }

    fn reached(&self) -> usize {
        self.reached.load(Ordering::Acquire)
    }

    fn counted(&self, reason: &'static str) -> u64 {
        self.metrics.ended.get_or_create(&Reason { reason }).get()
    }

    /// Waits until every connection is gone, and stops.
    async fn stop(self) {
        in_time(async {
            while self.metrics.open.get() != 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(self.life.shutdown(PATIENCE).await.is_clean());
    }
}

async fn handle(request: Request) -> Response {
    if request.uri().path() == "/endless" {
        let bytes = Bytes::from(vec![b'x'; 64 * 1024]);
        let endless =
            futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(bytes.clone()));
        return Body::from_stream(endless).into_response();
    }
    if request.uri().path() == "/deaf" {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let pace = request.extensions().get::<Pace>().cloned();
    match axum::body::to_bytes(request.into_body(), usize::MAX).await {
        Ok(body) => body.len().to_string().into_response(),
        Err(_) if pace.is_some_and(|pace| pace.too_slow()) => {
            StatusCode::REQUEST_TIMEOUT.into_response()
        }
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.unwrap()
}

/// Everything until the end; a reset is an end too.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let _ = in_time(stream.read_to_end(&mut read)).await;
    String::from_utf8_lossy(&read).into_owned()
}
