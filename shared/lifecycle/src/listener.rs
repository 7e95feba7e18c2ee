use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

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
    pub async fn bind(name: &'static str, address: SocketAddr) -> Result<Self, BindError> {
        let io = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::Taken { name, address },
            _ => BindError::Io {
                name,
                address,
                source,
            },
        };
        let socket = TcpListener::bind(address).await.map_err(io)?;
        let address = socket.local_addr().map_err(io)?;
        Ok(Self {
            name,
            socket,
            address,
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

#[cfg(test)]
mod tests {
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
}
