//! HTTP/2: few connections for all users of a shard, each driven by a task of its own.

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::connect::Stream;

/// Runs what a connection consists of on the thread of its shard.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F> hyper::rt::Executor<F> for Local
where
    F: Future + 'static,
{
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move {
            task.await;
        });
    }
}

/// Opens a connection and has it driven.
pub(super) async fn open(stream: Box<dyn Stream>) -> hyper::Result<SendRequest<Full<Bytes>>> {
    let (sender, driver) = http2::Builder::new(Local)
        .timer(TokioTimer::new())
        // Room for answers that many users read at the same time.
        .initial_connection_window_size(16 << 20)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::task::spawn_local(async move {
        // Whoever waits for an answer is told of the failure.
        let _ = driver.await;
    });
    Ok(sender)
}
