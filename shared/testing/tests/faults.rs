//! Every fault does to real connections what it says, and counts it.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]
#![expect(
    clippy::disallowed_methods,
    reason = "the server ends with the test's runtime"
)]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use touchstone_testing::faults::{Fault, TcpProxy};

const PATIENCE: Duration = Duration::from_secs(20);

/// Echoes what it is sent.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn proxy() -> TcpProxy {
    TcpProxy::start(echo().await).await
}

async fn connect(proxy: &TcpProxy) -> TcpStream {
    TcpStream::connect(proxy.addr()).await.unwrap()
}

/// Sends and reads back as many bytes.
async fn round_trip(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(bytes).await?;
    let mut answer = vec![0; bytes.len()];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer));
    read.await.unwrap()?;
    Ok(answer)
}

#[tokio::test]
async fn bytes_pass_without_a_fault_and_their_end_does_too() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    let sent = vec![7; 300_000];
    let (mut from, mut to) = stream.split();
    let mut answer = Vec::new();
    let (written, read) = tokio::join!(
        async {
            to.write_all(&sent).await.unwrap();
            to.shutdown().await
        },
        from.read_to_end(&mut answer)
    );
    written.unwrap();
    read.unwrap();
    assert_eq!(answer, sent);
    assert_eq!((proxy.connections(), proxy.hits()), (1, 0));
    assert_eq!(proxy.answered_bytes(), 300_000);
}

#[tokio::test]
async fn latency_is_added_both_ways() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    round_trip(&mut stream, b"warm").await.unwrap();
    let delay = Duration::from_millis(60);
    proxy.set(Fault::Latency { delay }).await;
    let started = Instant::now();
    round_trip(&mut stream, b"late").await.unwrap();
    assert!(started.elapsed() >= 2 * delay);
    assert!(proxy.hits() >= 2);
}

#[tokio::test]
async fn a_reset_ends_open_and_new_connections() {
    let proxy = proxy().await;
    let mut open = connect(&proxy).await;
    round_trip(&mut open, b"before").await.unwrap();
    proxy.set(Fault::Reset).await;
    let mut new = connect(&proxy).await;
    for stream in [&mut open, &mut new] {
        let error = round_trip(stream, b"after").await.unwrap_err();
        let ended = [
            ErrorKind::ConnectionReset,
            ErrorKind::BrokenPipe,
            ErrorKind::UnexpectedEof,
        ];
        assert!(ended.contains(&error.kind()), "{error}");
    }
    assert_eq!(proxy.hits(), 2);
}

#[tokio::test]
async fn a_blackhole_holds_bytes_back_until_it_is_gone() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    round_trip(&mut stream, b"before").await.unwrap();
    proxy.set(Fault::Blackhole).await;
    stream.write_all(b"held").await.unwrap();
    let mut answer = [0; 4];
    let silent = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut answer)).await;
    assert!(silent.is_err());
    assert_eq!(proxy.hits(), 1);
    proxy.set(Fault::None).await;
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await;
    read.unwrap().unwrap();
    assert_eq!(&answer, b"held");
}

#[tokio::test]
async fn half_open_connections_are_accepted_and_silent() {
    let proxy = proxy().await;
    let mut open = connect(&proxy).await;
    round_trip(&mut open, b"before").await.unwrap();
    proxy.set(Fault::HalfOpen).await;
    let mut new = connect(&proxy).await;
    new.write_all(b"hello").await.unwrap();
    let mut answer = [0; 5];
    let silent = tokio::time::timeout(Duration::from_millis(100), new.read(&mut answer)).await;
    assert!(silent.is_err());
    round_trip(&mut open, b"open ones go on").await.unwrap();
    assert_eq!(proxy.hits(), 1);
}

#[tokio::test]
async fn answers_are_sliced_slowed_cut_and_corrupted() {
    let proxy = proxy().await;
    let pause = Duration::from_millis(1);
    proxy.set(Fault::Slice { bytes: 3, pause }).await;
    let mut stream = connect(&proxy).await;
    assert_eq!(
        round_trip(&mut stream, b"0123456789").await.unwrap(),
        b"0123456789"
    );
    assert!(proxy.hits() >= 4);

    proxy.set(Fault::Flip { at_byte: 10 }).await;
    assert_eq!(
        round_trip(&mut stream, b"abc").await.unwrap(),
        [!b'a', b'b', b'c']
    );

    let bytes_per_second = 2000;
    proxy.set(Fault::Bandwidth { bytes_per_second }).await;
    let started = Instant::now();
    round_trip(&mut stream, &[1; 400]).await.unwrap();
    // The last of the slices need not be waited for.
    assert!(started.elapsed() >= Duration::from_millis(150));

    proxy.set(Fault::Cut { after_bytes: 5 }).await;
    let mut stream = connect(&proxy).await;
    stream.write_all(b"0123456789").await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let _ = read.unwrap();
    assert_eq!(answer, b"01234");
}

#[tokio::test]
async fn refused_connections_come_back_on_the_same_port() {
    let proxy = proxy().await;
    let mut open = connect(&proxy).await;
    round_trip(&mut open, b"before").await.unwrap();
    proxy.set(Fault::Refuse).await;
    let error = TcpStream::connect(proxy.addr()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(round_trip(&mut open, b"after").await.is_err());
    proxy.set(Fault::None).await;
    let mut new = connect(&proxy).await;
    round_trip(&mut new, b"again").await.unwrap();
    assert_eq!(proxy.hits(), 2);
}
