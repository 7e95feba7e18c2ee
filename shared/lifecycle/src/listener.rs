use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Clients that may wait to be accepted. Of more than that, the kernel lets the first packet fall, and
/// its client tries again after a second; the kernel's own limit may be lower.
const WAITING: u32 = 1024;

/// A bound socket that waits for its router.
#[derive(Debug)]
pub struct Listener {
    pub(crate) name: &'static str,
    pub(crate) socket: TcpListener,
    address: SocketAddr,
}

/// A socket cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error("port {} for {name} is taken on {}; stop what listens there or choose another with --{name}-port", address.port(), address.ip())]
    Taken {
        /// Service.
        name: &'static str,
        /// Where.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address} for {name}")]
    Io {
        /// Service.
        name: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Listener {
    /// Binds `address` for the service `name`; port 0 picks a free one.
    #[expect(
        clippy::unused_async,
        reason = "a future is made where there is a runtime, which the socket needs"
    )]
    pub async fn bind(name: &'static str, address: SocketAddr) -> Result<Self, BindError> {
        let io = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::Taken { name, address },
            _ => BindError::Io {
                name,
                address,
                source,
            },
        };
        let socket = listen(address).map_err(io)?;
        let address = socket.local_addr().map_err(io)?;
        Ok(Self {
            name,
            socket,
            address,
        })
    }

    /// Closes the socket once the clients that waited have been handed out: they have been told that
    /// they are connected, and may have sent their requests.
    pub(crate) fn waiting(self) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
        let socket = self.socket.into_std().ok();
        std::iter::from_fn(move || {
            loop {
                match socket.as_ref()?.accept() {
                    Ok((stream, peer)) => {
                        stream.set_nonblocking(true).ok()?;
                        return Some((TcpStream::from_std(stream).ok()?, peer));
                    }
                    // Only this client has left.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(_) => return None,
                }
            }
        })
    }

    /// The service it was bound for.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Where it listens, with the real port.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Elsewhere it would let others take the port while it is in use.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named_with_its_flag() {
        let first = Listener::bind("vector", ([127, 0, 0, 1], 0).into())
            .await
            .unwrap();
        let error = Listener::bind("retrieval", first.address())
            .await
            .unwrap_err()
            .to_string();
        let port = first.address().port().to_string();
        assert!(
            error.contains(&port) && error.contains("--retrieval-port"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_burst_of_clients_waits_to_be_accepted() {
        const BURST: usize = 300;
        let own = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
        let own = own
            .ok()
            .and_then(|limit| limit.trim().parse::<usize>().ok());
        if own.is_none_or(|limit| limit < BURST) {
            eprintln!("SKIPPED: this kernel lets fewer clients wait, or does not tell how many");
            return;
        }
        let busy = Listener::bind("vector", ([127, 0, 0, 1], 0).into()).await;
        let address = busy.as_ref().unwrap().address();
        // Nobody accepts them; whoever finds no place waits for a second at least, and in vain.
        let patience = Duration::from_secs(30);
        let clients = (0..BURST).map(|_| TcpStream::connect_timeout(&address, patience));
        let clients: Vec<_> = clients.collect::<Result<_, _>>().unwrap();
        assert_eq!(clients.len(), BURST);
    }
}
