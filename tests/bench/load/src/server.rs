//! A server that does nothing: what is measured against it is the generator.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";
const STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
/// Events of a stream, one a second.
const EVENTS: u32 = 8;

/// Serves for ever; tells the port first.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let _ = rlimit::increase_nofile_limit(1 << 20);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    crate::say(&listener.local_addr()?.to_string());
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        connections.spawn(answer(stream));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(4096);
    loop {
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // Requests of the engine have no bodies here: a head is a request.
        while let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let is_stream = buffer.starts_with(b"GET /stream");
            buffer.drain(..end + 4);
            let done = if is_stream {
                events(&mut stream).await
            } else {
                stream.write_all(ANSWER).await
            };
            if done.is_err() || is_stream {
                return;
            }
        }
    }
}

async fn events(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(STREAM).await?;
    for event in 0..EVENTS {
        stream
            .write_all(format!("data: {event}\n\n").as_bytes())
            .await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    stream.shutdown().await
}
