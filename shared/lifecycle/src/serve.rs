use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;

use crate::admission::{Admission, Place};
use crate::connection::drive;
use crate::{Edge, Lifecycle, Listener};

/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// How often an HTTP/2 client is asked whether it is there.
const PING: Duration = Duration::from_secs(30);
/// Streams that a client may reset before they were looked at.
const PENDING_RESETS: usize = 20;
/// Streams that we may have to reset for a client's mistakes.
const OWN_RESETS: usize = 100;
/// Most bytes of a response that wait for one HTTP/2 stream.
const SEND_BYTES: usize = 64 * 1024;

impl Lifecycle {
    /// Serves `router` on `listener` (HTTP/1.1 and HTTP/2) as a tracked task, within the limits
    /// for the ports among services.
    pub fn serve(&self, listener: Listener, router: Router) {
        self.serve_edge(listener, router, Edge::default());
    }

    /// Serves `router` on `listener` within the limits of `edge`.
    ///
    /// The soft stop closes the listener and lets requests in flight finish, also those that are on
    /// their way over connections that are open or wait to be accepted; the hard stop drops them. An
    /// accept that fails does not end the loop.
    pub fn serve_edge(&self, listener: Listener, router: Router, edge: Edge) {
        let life = self.clone();
        if let Some(tls) = edge.tls.clone() {
            let stop = self.soft_stop();
            self.spawn(format!("tls.{}", listener.name), tls.follow(stop));
        }
        self.spawn(format!("serve.{}", listener.name), async move {
            let server = server(&edge);
            let admission = Admission::new(edge.clone());
            let (edge, stop) = (Arc::new(edge), life.soft_stop());
            let admit = |stream: TcpStream, peer: SocketAddr| match admission.admit(peer.ip()) {
                Ok(place) => {
                    let (edge, server) = (Arc::clone(&edge), server.clone());
                    life.connection(stream, peer, place, edge, server, router.clone());
                }
                Err(reason) => {
                    edge.metrics.count(reason);
                    refuse(&stream, peer, &edge);
                }
            };
            loop {
                let accepted = tokio::select! {
                    accepted = listener.socket.accept() => accepted,
                    () = stop.cancelled() => break,
                };
                match accepted {
                    Ok((stream, peer)) => admit(stream, peer),
                    Err(error) => pause_after(listener.name, &error).await,
                }
            }
            for (stream, peer) in listener.waiting() {
                admit(stream, peer);
            }
        });
    }

    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
        edge: Arc<Edge>,
        server: auto::Builder<TokioExecutor>,
        router: Router,
    ) {
        // Without it small frames of a stream wait for the peer's acknowledgement.
        let _ = stream.set_nodelay(true);
        let stop = self.soft_stop();
        let Some(tls) = edge.tls.clone() else {
            let connection = drive(stream, peer, place, edge, server, router, stop);
            self.spawn_for_client("connection", connection);
            return;
        };
        self.spawn_for_client("connection", async move {
            let handshake = tls.acceptor().accept(stream);
            match tokio::time::timeout(edge.head_timeout, handshake).await {
                Ok(Ok(stream)) => {
                    let connection = drive(stream, peer, place, edge, server, router, stop);
                    Box::pin(connection).await;
                }
                Ok(Err(_)) | Err(_) => edge.metrics.count("handshake"),
            }
        });
    }
}

fn server(edge: &Edge) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        // The time for a head runs in the stream; this is the time between two requests.
        .header_read_timeout(edge.idle_timeout)
        .max_buf_size((edge.head_bytes as usize).max(8192))
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(edge.head_bytes)
        .max_concurrent_streams(edge.streams)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(OWN_RESETS)
        .max_send_buf_size(SEND_BYTES)
        .keep_alive_interval(Some(PING));
    server
}

/// Tells a client that there is no place for it, as far as that costs no wait.
fn refuse(stream: &TcpStream, peer: SocketAddr, edge: &Edge) {
    if edge.tls.is_none() {
        // Clients that were refused together do not come back together.
        let after = 1 + peer.port() % 3;
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {after}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        let _ = stream.try_write(answer.as_bytes());
    }
}

async fn pause_after(name: &str, error: &io::Error) {
    let of_the_client = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    );
    if !of_the_client {
        tracing::warn!(error = %error, "accepting for {name} failed, trying again");
        tokio::time::sleep(ACCEPT_BACKOFF).await;
    }
}
