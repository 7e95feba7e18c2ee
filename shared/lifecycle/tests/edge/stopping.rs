//! A server that stops: whoever had reason to believe that it listens is answered.

use std::io::Write;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{PATIENCE, SOON, Server, in_time, until_closed};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn a_request_on_an_open_connection_is_answered_and_told_to_be_the_last() {
    let server = Server::start(|edge| edge.farewell = PATIENCE).await;
    let (mut used, mut fresh) = (server.connect().await, server.connect().await);
    used.write_all(REQUEST).await.unwrap();
    let mut answer = [0; 15];
    in_time(used.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    server.life.soft_stop().cancel();
    // The listener goes at once, after whoever was waiting there.
    in_time(async { while TcpStream::connect(server.address).await.is_ok() {} }).await;
    // Time enough for a server that waits for nobody.
    tokio::time::sleep(SOON).await;
    for stream in [&mut used, &mut fresh] {
        stream.write_all(REQUEST).await.unwrap();
        let answer = until_closed(stream).await;
        assert!(answer.contains("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_open_connection_on_which_nothing_is_asked_is_closed_after_a_while() {
    let server = Server::start(|_| ()).await;
    let mut idle = server.connect().await;
    server.life.soft_stop().cancel();
    assert_eq!(until_closed(&mut idle).await, "");
    server.stop().await;
}

#[tokio::test]
async fn whoever_waits_to_be_accepted_is_answered() {
    const CLIENTS: usize = 100;
    let server = Server::start(|edge| edge.farewell = PATIENCE).await;
    // The kernel connects them while nothing else runs on this thread.
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = std::net::TcpStream::connect(server.address).unwrap();
        client.write_all(REQUEST).unwrap();
        client.set_nonblocking(true).unwrap();
        clients.push(TcpStream::from_std(client).unwrap());
    }
    server.life.soft_stop().cancel();
    for client in &mut clients {
        let answer = until_closed(client).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    assert_eq!(server.reached(), CLIENTS);
    server.stop().await;
}
