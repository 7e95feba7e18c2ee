//! A server that has run out of descriptors: it goes on accepting when there are some again.
#![expect(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use touchstone_lifecycle::{Edge, Lifecycle, Listener};

/// How long to wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// Descriptors of the server, and clients that want one each; those that are not accepted must fit
/// into the queue of the listener.
const DESCRIPTORS: usize = 48;
const CLIENTS: usize = 100;
/// What tells the program to be the server.
const SERVE: &str = "serve";
/// What the child says before its address.
const LISTENING: &str = "listening on ";

/// The server with few descriptors; killed when dropped.
struct Few {
    child: Child,
    address: SocketAddr,
}

impl Few {
    /// This program once more, with a limit; `None` where limits cannot be set.
    fn start() -> Option<Self> {
        let script = format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\"");
        let spawned = Command::new("sh")
            .args(["-c", &script])
            .arg(std::env::current_exe().unwrap())
            .arg(SERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                eprintln!("SKIPPED: no shell to limit descriptors with: {error}");
                return None;
            }
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix(LISTENING)?.parse().ok());
        Some(Self {
            child,
            address: address.unwrap(),
        })
    }

    /// Descriptors that it has open; `None` where the system does not tell.
    fn open(&self) -> Option<usize> {
        let folder = PathBuf::from(format!("/proc/{}/fd", self.child.id()));
        Some(std::fs::read_dir(folder).ok()?.count())
    }
}

impl Drop for Few {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn ask(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    client.write_all(request).await.unwrap();
    client
}

/// Waits for the head of the answer; the connection stays open.
async fn answered(client: &mut TcpStream) {
    let mut head = [0; 12];
    let read = tokio::time::timeout(PATIENCE, client.read_exact(&mut head));
    read.await.unwrap().unwrap();
    assert_eq!(&head, b"HTTP/1.1 404");
}

/// Waits until the server has as many descriptors open as is wanted.
async fn opens(server: &Few, wanted: impl Fn(usize) -> bool) {
    let began = Instant::now();
    while !server.open().is_some_and(&wanted) {
        assert!(began.elapsed() < PATIENCE, "{:?} are open", server.open());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn a_server_without_descriptors_accepts_again_when_it_has_some() {
    let Some(server) = Few::start() else {
        return;
    };
    if server.open().is_none() {
        eprintln!("SKIPPED: this system does not tell the descriptors of a process");
        return;
    }
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(ask(server.address).await);
    }
    // The first are served; more than there are descriptors cannot be.
    answered(&mut clients[0]).await;
    // What it inherited may lie above its limit, and counts here as well.
    opens(&server, |open| open >= DESCRIPTORS).await;
    // All the others get their turn: a client gives its descriptor back when it is dropped here.
    for mut client in clients.drain(1..) {
        answered(&mut client).await;
    }
    drop(clients);
    answered(&mut ask(server.address).await).await;
    opens(&server, |open| open < DESCRIPTORS / 2).await;
}

async fn serve_until_the_input_ends() {
    let life = Lifecycle::new();
    let listener = Listener::bind("test", ([127, 0, 0, 1], 0).into()).await;
    let listener = listener.unwrap();
    let address = listener.address();
    life.serve_edge(listener, Router::new(), Edge::default());
    eprintln!("{LISTENING}{address}");
    let read = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    let _ = read.await;
    life.shutdown(PATIENCE).await;
}

#[tokio::main]
async fn main() {
    if std::env::args().nth(1).as_deref() == Some(SERVE) {
        return serve_until_the_input_ends().await;
    }
    a_server_without_descriptors_accepts_again_when_it_has_some().await;
    eprintln!("test a_server_without_descriptors_accepts_again_when_it_has_some ... ok");
}
