//! The way out to Telegram through a proxy.
//!
//! The client knows SOCKS5 alone. For other proxies it is given a SOCKS5 server of our own on
//! loopback, the bridge. It asks an HTTP proxy to connect (RFC 9110 §9.3.6) and passes bytes on; for
//! an MTProxy it puts the client's packets into the envelope that this one understands. Only who
//! knows the bridge's password may use it: other programs on this machine do not get the proxy's
//! credentials lent.

mod mtproxy;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use touchstone_config::Secret;
use touchstone_lifecycle::Lifecycle;

use self::mtproxy::Tunnel;
use crate::account::AccountSession;
use crate::domain::proxy::{HttpProxy, MtProxy, Proxy};

/// How long a connection may take to be made.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest answer of a proxy to `CONNECT`, in bytes.
const ANSWER: usize = 8 << 10;

/// Name of the bridge's user; the password is what counts.
const USER: &str = "bridge";

/// What the client is told: `None` for the straight way.
///
/// # Errors
/// When the bridge cannot listen.
pub(crate) async fn way_out(
    proxy: Option<Proxy>,
    session: &Arc<AccountSession>,
    password: &str,
    life: &Lifecycle,
) -> io::Result<Option<Secret>> {
    let way = match proxy {
        None => return Ok(None),
        Some(Proxy::Socks5(url)) => return Ok(Some(url.into())),
        Some(Proxy::Http(proxy)) => Way::Http(proxy),
        Some(Proxy::Mtproxy(proxy)) => Way::Mtproxy(proxy, Arc::clone(session)),
    };
    let way = Arc::new(way);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let url = format!("socks5://{USER}:{password}@{address}");
    let password: Arc<str> = password.into();
    let (stop, tasks) = (life.soft_stop(), life.clone());
    life.spawn("telegram.egress", async move {
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            let Ok((client, _)) = accepted else {
                // Descriptors run out: the client waits, the loop does not spin.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (way, password) = (Arc::clone(&way), Arc::clone(&password));
            let stop = stop.clone();
            tasks.spawn("telegram.egress.connection", async move {
                stop.run_until_cancelled(serve(client, &way, &password))
                    .await;
            });
        }
    });
    Ok(Some(url.into()))
}

/// How the bridge gets to Telegram.
enum Way {
    Http(HttpProxy),
    /// The session knows which data centre is at an address.
    Mtproxy(MtProxy, Arc<AccountSession>),
}

/// A connection through the proxy.
enum Upstream {
    Bytes(TcpStream),
    Packets(Box<Tunnel>),
}

impl Way {
    async fn connect(&self, target: SocketAddr) -> io::Result<Upstream> {
        match self {
            Self::Http(proxy) => connect(proxy, &target.to_string())
                .await
                .map(Upstream::Bytes),
            Self::Mtproxy(proxy, session) => {
                let dc = session.at(target).and_then(|dc| i16::try_from(dc).ok());
                let unknown = || io::Error::other("no data centre is known at this address");
                let tunnel = Tunnel::open(proxy, dc.ok_or_else(unknown)?).await?;
                Ok(Upstream::Packets(Box::new(tunnel)))
            }
        }
    }
}

async fn serve(mut client: TcpStream, way: &Way, password: &str) {
    let connected = timeout(PATIENCE, async {
        let target = greeting(&mut client, password).await?;
        match way.connect(target).await {
            Ok(upstream) => {
                client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
                Ok(upstream)
            }
            Err(error) => {
                // "Connection refused", whatever it was: the log says more.
                client.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
                Err(error)
            }
        }
    });
    match connected.await {
        // How it ends is the client's business: it sees the same.
        Ok(Ok(Upstream::Bytes(mut upstream))) => {
            let _ = copy_bidirectional(&mut client, &mut upstream).await;
        }
        Ok(Ok(Upstream::Packets(tunnel))) => {
            if let Err(error) = tunnel.relay(&mut client).await {
                tracing::debug!(%error, "a connection through the proxy ended");
            }
        }
        Ok(Err(error)) => tracing::warn!(%error, "the proxy did not connect"),
        Err(_) => tracing::warn!("the proxy did not connect in time"),
    }
}

/// The server's part of SOCKS5 (RFC 1928, RFC 1929); returns where the client wants to go.
async fn greeting(client: &mut TcpStream, password: &str) -> io::Result<SocketAddr> {
    let refused = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    let (version, methods) = (client.read_u8().await?, text(client).await?);
    if version != 5 || !methods.contains(&2) {
        client.write_all(&[5, 0xff]).await?;
        return refused("a client of the bridge did not offer a password");
    }
    client.write_all(&[5, 2]).await?;
    let (_, user, given) = (
        client.read_u8().await?,
        text(client).await?,
        text(client).await?,
    );
    if user != USER.as_bytes() || given != password.as_bytes() {
        client.write_all(&[1, 1]).await?;
        return refused("a client of the bridge had a wrong password");
    }
    client.write_all(&[1, 0]).await?;
    let mut head = [0; 4];
    client.read_exact(&mut head).await?;
    let [5, 1, _, kind] = head else {
        return refused("a client of the bridge wanted something else than a connection");
    };
    match kind {
        1 => {
            let mut octets = [0; 4];
            client.read_exact(&mut octets).await?;
            let port = client.read_u16().await?;
            Ok(SocketAddr::from((Ipv4Addr::from(octets), port)))
        }
        4 => {
            let mut octets = [0; 16];
            client.read_exact(&mut octets).await?;
            let port = client.read_u16().await?;
            Ok(SocketAddr::from((Ipv6Addr::from(octets), port)))
        }
        _ => refused("a client of the bridge wanted a name instead of an address"),
    }
}

/// A field with its length in front.
async fn text(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(client.read_u8().await?)];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Asks an HTTP proxy for a connection to `target`.
async fn connect(proxy: &HttpProxy, target: &str) -> io::Result<TcpStream> {
    let mut upstream = TcpStream::connect(&proxy.address).await?;
    upstream.set_nodelay(true)?;
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(login) = &proxy.login {
        request.push_str("Proxy-Authorization: Basic ");
        STANDARD.encode_string(login, &mut request);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    upstream.write_all(request.as_bytes()).await?;
    // Byte by byte: what follows the empty line is Telegram's.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= ANSWER {
            return Err(io::Error::other("the proxy's answer has no end"));
        }
        answer.push(upstream.read_u8().await?);
    }
    let status = answer
        .split(|byte| *byte == b' ')
        .nth(1)
        .unwrap_or_default();
    if answer.starts_with(b"HTTP/1.") && status.starts_with(b"2") {
        return Ok(upstream);
    }
    let status = String::from_utf8_lossy(&status[..status.len().min(3)]).into_owned();
    Err(io::Error::other(format!(
        "the proxy answered with {status}"
    )))
}
