use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpStream;
use tower::ServiceExt;

use crate::{Lifecycle, Listener};

/// How long a client may take to send its headers.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of headers on one HTTP/1 connection.
const HEADER_BYTES: usize = 64 * 1024;
/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

impl Lifecycle {
    /// Serves `router` on `listener` (HTTP/1.1 and HTTP/2) as a tracked task.
    ///
    /// The soft stop closes the listener and lets requests in flight finish; the hard stop drops
    /// them. An accept that fails does not end the loop.
    pub fn serve(&self, listener: Listener, router: Router) {
        let life = self.clone();
        self.spawn(format!("serve.{}", listener.name), async move {
            let connections = GracefulShutdown::new();
            let server = server();
            let stop = life.soft_stop();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.socket.accept() => accepted,
                    () = stop.cancelled() => break,
                };
                let (stream, peer) = match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        pause_after(listener.name, &error).await;
                        continue;
                    }
                };
                life.connection(&server, &connections, stream, peer, router.clone());
            }
            drop(listener);
            connections.shutdown().await;
        });
    }

    fn connection(
        &self,
        server: &auto::Builder<TokioExecutor>,
        connections: &GracefulShutdown,
        stream: TcpStream,
        peer: std::net::SocketAddr,
        router: Router,
    ) {
        // Without it small frames of a stream wait for the peer's acknowledgement.
        let _ = stream.set_nodelay(true);
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = server
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .into_owned();
        let connection = connections.watch(connection);
        self.spawn("connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(error, "connection ended");
            }
        });
    }
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(HEADER_BYTES)
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(64 * 1024)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    server
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
