use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Ended, PATIENCE, SOON, Server, in_time};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame as it is on the wire.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = size[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `GET <path>` in HPACK: indexed method and scheme, literal path and authority.
fn get(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path.as_bytes());
    block.extend([0x01, 1, b'x']);
    block
}

/// Speaks HTTP/2 without a library, because a library would not misbehave.
async fn raw(server: &Server) -> TcpStream {
    let mut stream = server.connect().await;
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    stream
}

/// The frames until the server closes: kind, stream, payload.
async fn frames(stream: &mut TcpStream) -> Vec<(u8, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    let read = async {
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            let size = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let number = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let mut payload = vec![0; size as usize];
            if stream.read_exact(&mut payload).await.is_err() {
                return;
            }
            frames.push((head[3], number, payload));
        }
    };
    in_time(read).await;
    frames
}

/// Speaks HTTP/2 as it should be spoken.
async fn polite(server: &Server) -> (SendRequest<Bytes>, Ended) {
    let (sender, connection) = client::handshake(server.connect().await).await.unwrap();
    (sender, server.run(connection))
}

fn request(path: &str) -> Request<()> {
    Request::get(format!("http://x{path}")).body(()).unwrap()
}

#[tokio::test]
async fn requests_are_answered() {
    let server = Server::start(|_| ()).await;
    let (mut sender, task) = polite(&server).await;
    let (response, _) = sender.send_request(request("/"), true).unwrap();
    assert_eq!(in_time(response).await.unwrap().status(), StatusCode::OK);
    drop(sender);
    in_time(task).await.unwrap_err();
    server.stop().await;
}

#[tokio::test]
async fn streams_over_the_limit_are_refused_and_never_begun() {
    let server = Server::start(|edge| edge.streams = 10).await;
    let mut stream = raw(&server).await;
    // None of these ends, so none of them makes room for another.
    let flood: Vec<u8> = (0..10_000_u32)
        .flat_map(|n| frame(HEADERS, END_HEADERS, 2 * n + 1, &get("/")))
        .collect();
    let (mut reader, mut writer) = stream.split();
    let write = async {
        let _ = writer.write_all(&flood).await;
    };
    let mut refused = 0;
    let read = async {
        let mut head = [0; 9];
        // REFUSED_STREAM for each, or the whole connection is given up.
        while reader.read_exact(&mut head).await.is_ok() {
            let size = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; size as usize];
            if reader.read_exact(&mut payload).await.is_err() || head[3] == GOAWAY {
                return;
            }
            refused += u32::from(head[3] == RST_STREAM && payload == [0, 0, 0, 7]);
            if refused == 9_990 {
                return;
            }
        }
    };
    in_time(async { tokio::join!(write, read) }).await;
    assert!(refused > 0, "nothing was refused");
    assert!(server.reached() <= 10, "{}", server.reached());
    drop(stream);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_its_requests_back_is_dropped() {
    let server = Server::start(|_| ()).await;
    let mut stream = raw(&server).await;
    let mut flood = Vec::new();
    for n in 0..20_000_u32 {
        let number = 2 * n + 1;
        flood.extend(frame(HEADERS, END_HEADERS, number, &get("/")));
        flood.extend(frame(RST_STREAM, 0, number, &8_u32.to_be_bytes()));
    }
    let (mut reader, mut writer) = stream.split();
    let mut read = Vec::new();
    let ended =
        in_time(async { tokio::join!(writer.write_all(&flood), reader.read_to_end(&mut read)) })
            .await;
    drop(ended);
    assert!(server.reached() < 10_000, "{} were begun", server.reached());
    server.stop().await;
}

#[tokio::test]
async fn slow_rounds_of_taking_back_are_noticed_as_well() {
    let server = Server::start(|_| ()).await;
    let (mut sender, task) = polite(&server).await;
    for begun in 1.. {
        // A body that never comes, so that the handler waits until it is taken back.
        let Ok((response, mut body)) = sender.send_request(request("/"), false) else {
            break;
        };
        in_time(async {
            while server.reached() < begun && server.counted("resets") == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        if server.counted("resets") > 0 {
            break;
        }
        body.send_reset(h2::Reason::CANCEL);
        drop(response);
        assert!(begun < 1000, "it may go on for ever");
    }
    assert_eq!(server.counted("resets"), 1);
    drop(sender);
    in_time(task).await.unwrap_err();
    server.stop().await;
}

#[tokio::test]
async fn headers_without_end_end_the_connection() {
    let server = Server::start(|_| ()).await;
    for size in [0, 16_000] {
        let mut stream = raw(&server).await;
        stream
            .write_all(&frame(HEADERS, END_STREAM, 1, &get("/")))
            .await
            .unwrap();
        // A literal that is never indexed, over and over.
        let mut part = vec![];
        while part.len() + 4 <= size {
            part.extend([0x00, 1, b'a', 0]);
        }
        let more = frame(CONTINUATION, 0, 1, &part);
        let (mut reader, mut writer) = stream.split();
        let mut sent = 0_usize;
        let write = async {
            while writer.write_all(&more).await.is_ok() {
                sent += 1;
                if sent == 100_000 {
                    return;
                }
            }
        };
        let mut read = Vec::new();
        let _ = in_time(async { tokio::join!(write, reader.read_to_end(&mut read)) }).await;
        assert!(sent < 100_000, "{sent} parts were taken");
        drop(stream);
    }
    assert_eq!(server.reached(), 0);
    server.stop().await;
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() {
    let server = Server::start(|_| ()).await;
    let (mut sender, task) = polite(&server).await;
    let mut large = request("/");
    for n in 0..20 {
        let name: http::HeaderName = format!("x-{n}").parse().unwrap();
        large
            .headers_mut()
            .insert(name, "x".repeat(4096).parse().unwrap());
    }
    if let Ok((response, _)) = sender.send_request(large, true)
        && let Ok(response) = in_time(response).await
    {
        assert_eq!(
            response.status(),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        );
    }
    assert_eq!(server.reached(), 0);
    drop(sender);
    in_time(task).await.unwrap_err();
    server.stop().await;
}

#[tokio::test]
async fn headers_of_http1_connections_are_refused() {
    let server = Server::start(|_| ()).await;
    let mut stream = raw(&server).await;
    let mut block = get("/");
    // `transfer-encoding: chunked`, literal, never indexed.
    block.extend([0x00, 17]);
    block.extend(b"transfer-encoding");
    block.push(7);
    block.extend(b"chunked");
    stream
        .write_all(&frame(HEADERS, END_HEADERS, 1, &block))
        .await
        .unwrap();
    let refused = async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let size = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; size as usize];
            stream.read_exact(&mut payload).await.unwrap();
            if head[3] == RST_STREAM || head[3] == GOAWAY {
                return;
            }
            assert_ne!(head[3], HEADERS, "it was answered");
        }
    };
    in_time(refused).await;
    assert_eq!(server.reached(), 0);
    drop(stream);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_opens_no_window_is_dropped() {
    let server = Server::start(|edge| {
        edge.reader_silence = SOON;
        edge.head_timeout = SOON;
    })
    .await;
    let mut stream = raw(&server).await;
    stream
        .write_all(&frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            1,
            &get("/endless"),
        ))
        .await
        .unwrap();
    let begun = tokio::time::Instant::now();
    let seen = frames(&mut stream).await;
    assert!(seen.iter().any(|(kind, _, _)| *kind == HEADERS), "{seen:?}");
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(server.counted("slow_reader"), 1);
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_retired() {
    let server = Server::start(|edge| {
        edge.head_timeout = SOON;
        edge.idle_timeout = SOON;
        edge.reader_silence = Duration::from_secs(1);
    })
    .await;
    let (mut sender, task) = polite(&server).await;
    let (response, _) = sender.send_request(request("/"), true).unwrap();
    assert_eq!(in_time(response).await.unwrap().status(), StatusCode::OK);
    in_time(task).await.unwrap_err();
    drop(sender);
    server.stop().await;
}
