//! The way to Telegram through proxies.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use touchstone_telegram_simulator::{Fault, PostRequest, Proxied, Scenario};

use crate::support::{DUROV, Scene, world};

/// A proxy that counts whom it connected.
struct Proxy {
    address: SocketAddr,
    connected: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

/// Reads up to an empty line.
async fn head(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn http(mut client: TcpStream, connected: Arc<AtomicUsize>) {
    let head = head(&mut client).await;
    // me:p@ss
    if !head.contains("Proxy-Authorization: Basic bWU6cEBzcw==\r\n") {
        let refused = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
        client.write_all(refused).await.unwrap();
        return;
    }
    let target = head.split(' ').nth(1).unwrap().to_owned();
    let mut upstream = TcpStream::connect(target).await.unwrap();
    connected.fetch_add(1, Ordering::Relaxed);
    client
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .await
        .unwrap();
    let _ = copy_bidirectional(&mut client, &mut upstream).await;
}

async fn socks(mut client: TcpStream, connected: Arc<AtomicUsize>) {
    let mut greeting = [0; 2];
    client.read_exact(&mut greeting).await.unwrap();
    let mut methods = vec![0; usize::from(greeting[1])];
    client.read_exact(&mut methods).await.unwrap();
    client.write_all(&[5, 0]).await.unwrap();
    let mut request = [0; 10];
    client.read_exact(&mut request).await.unwrap();
    let [5, 1, 0, 1, a, b, c, d, high, low] = request else {
        return;
    };
    let target = SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])));
    let mut upstream = TcpStream::connect(target).await.unwrap();
    connected.fetch_add(1, Ordering::Relaxed);
    client
        .write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
        .await
        .unwrap();
    let _ = copy_bidirectional(&mut client, &mut upstream).await;
}

impl Proxy {
    async fn start<F>(serve: impl Fn(TcpStream, Arc<AtomicUsize>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connected = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&connected);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                clients.spawn(serve(client, Arc::clone(&counted)));
            }
        });
        Self {
            address,
            connected,
            _tasks: tasks,
        }
    }

    fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn the_account_is_reached_through_an_http_proxy() {
    let proxy = Proxy::start(http).await;
    let url = format!("http://me:p@ss@{}", proxy.address);
    let scene = Scene::of(world(), |config| config.proxy = url.into()).await;
    let data = scene.parsed("durov", 250).await;
    assert_eq!(data["total_parsed"], 250);
    assert_eq!(proxy.connected(), 1);
}

#[tokio::test]
async fn the_account_is_reached_through_a_socks_proxy() {
    let proxy = Proxy::start(socks).await;
    let url = format!("socks5://{}", proxy.address);
    let scene = Scene::of(world(), |config| config.proxy = url.into()).await;
    let data = scene.parsed("durov", 5).await;
    assert_eq!(data["total_parsed"], 5);
    assert_eq!(proxy.connected(), 1);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_never_gone_round() {
    let proxy = Proxy::start(http).await;
    let url = format!("http://me:wrong@{}", proxy.address);
    let scene = Scene::of(world(), |config| {
        config.proxy = url.into();
        config.request_timeout = std::time::Duration::from_secs(2);
    })
    .await;
    let problem = scene.parse("durov", 5).await.problem();
    let expected = ["503 telegram.unreachable", "504 telegram.timeout"];
    assert!(expected.contains(&problem.as_str()), "{problem}");
    assert_eq!((proxy.connected(), scene.simulator.connected()), (0, 0));
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A world that is reached through an MTProxy too: the data centre is one to itself.
fn proxied_world() -> Scenario {
    Scenario {
        proxy_secret: Some(SECRET.into()),
        elsewhere: vec![4],
        ..world()
    }
}

/// The simulator's session, with an address that nobody has (RFC 5737).
fn session_nowhere(scene: &Scene) -> String {
    let text = scene.simulator.session();
    let mut bytes = URL_SAFE.decode(&text[1..]).unwrap();
    bytes[1..7].copy_from_slice(&[192, 0, 2, 1, 1, 187]);
    format!("1{}", URL_SAFE.encode(bytes))
}

#[tokio::test]
async fn the_account_is_reached_through_an_mtproxy_with_either_kind_of_secret() {
    for (kind, padded) in [("", false), ("dd", true)] {
        // The first service has no proxy and tells the session; the second has no other way than
        // the proxy, since nobody is at its session's address.
        let scene = Scene::of(proxied_world(), |_| {}).await;
        let url = format!("mtproxy://{kind}{SECRET}@{}", scene.simulator.address());
        let session = session_nowhere(&scene);
        let scene = scene
            .reconfigured(|config| {
                config.proxy = url.into();
                config.session = session.into();
                (config.api_id, config.api_hash) = (1, "hash".into());
            })
            .await;
        let data = scene.parsed("durov", 250).await;
        assert_eq!(data["total_parsed"], 250);
        let home = Proxied {
            data_centre: 2,
            padded,
        };
        assert_eq!(scene.simulator.proxied(), [home], "{kind}");

        // A status has no envelope in one transport, and one in the other.
        let status = Fault::Transport { status: 429 };
        scene.arm(status, Some("messages.getHistory"), 1, 1);
        let data = scene.parsed("durov", 250).await;
        assert_eq!(data["total_parsed"], 250);
        assert_eq!(scene.simulator.proxied(), [home; 2], "{kind}");
    }
}

#[tokio::test]
async fn an_mtproxy_is_asked_for_the_data_centre_that_has_the_media() {
    let scene = Scene::of(proxied_world(), |_| {}).await;
    let url = format!("mtproxy://dd{SECRET}@{}", scene.simulator.address());
    let scene = scene.reconfigured(|config| config.proxy = url.into()).await;
    scene.join("durov").await;
    for _ in 0..2 {
        let photograph = PostRequest {
            photo: Some(70_000),
            ..PostRequest::text("seen")
        };
        let number = scene.simulator.post(DUROV, photograph).unwrap();
        let answer = scene.client.get(&format!("/media/{DUROV}/{number}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.body.len(), 70_000);
    }
    let asked: Vec<i16> = scene
        .simulator
        .proxied()
        .iter()
        .map(|it| it.data_centre)
        .collect();
    assert_eq!(asked, [2, 4]);
}

#[tokio::test]
async fn an_mtproxy_with_another_secret_lets_nobody_through() {
    let scene = Scene::of(proxied_world(), |_| {}).await;
    let url = format!("mtproxy://{}@{}", "7".repeat(32), scene.simulator.address());
    let scene = scene
        .reconfigured(|config| {
            config.proxy = url.into();
            config.request_timeout = std::time::Duration::from_secs(2);
        })
        .await;
    let calls = scene.simulator.calls().len();
    let problem = scene.parse("durov", 5).await.problem();
    let expected = ["503 telegram.unreachable", "504 telegram.timeout"];
    assert!(expected.contains(&problem.as_str()), "{problem}");
    assert_eq!(scene.simulator.calls().len(), calls);
    assert_eq!(scene.simulator.proxied(), []);
}
