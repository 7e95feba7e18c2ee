//! A first look at a server that the configuration names, before anything is built on it.

use std::time::Duration;

use tokio::net::TcpStream;

/// Longest wait for a connection, and for the answer to a first question.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Why a server cannot be used, in words that never hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// The server said so itself; it will say so again.
    #[error("{0}")]
    Refused(String),
    /// There is no such host, or something else answers there. What only just starts may look so.
    #[error("{0}")]
    Misplaced(String),
    /// Nobody answers: the server is away.
    #[error("{0}")]
    Away(String),
}

impl Mistake {
    /// What answers at `place` is not what the URI says.
    pub fn garbled(place: &str, expected: &str, hint: &str) -> Self {
        Self::Misplaced(format!(
            "{place} does not answer as {expected} does: {hint}"
        ))
    }

    /// Nothing came from `place` in time.
    pub fn silent(place: &str) -> Self {
        Self::Away(format!("{place} does not answer in time"))
    }
}

/// Connects to `place`, a host and a port.
///
/// # Errors
/// [`Mistake`] says whether the host is unknown or nobody listens there.
pub async fn reach(place: &str) -> Result<TcpStream, Mistake> {
    let looking = tokio::net::lookup_host(place);
    let Ok(Ok(found)) = tokio::time::timeout(PATIENCE, looking).await else {
        return Err(Mistake::Misplaced(format!("{place} cannot be found")));
    };
    let mut trouble = Mistake::silent(place);
    for address in found {
        match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(_)) => trouble = Mistake::Away(format!("nothing listens on {place}")),
            Err(_) => {}
        }
    }
    Err(trouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unknown_host_and_a_closed_port_are_told_apart() {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = free.local_addr().unwrap().to_string();
        assert!(reach(&place).await.is_ok());
        drop(free);
        let closed = reach(&place).await.unwrap_err();
        assert_eq!(closed, Mistake::Away(format!("nothing listens on {place}")));
        let unknown = reach("no-such-host.invalid:1").await.unwrap_err();
        assert!(matches!(unknown, Mistake::Misplaced(_)), "{unknown}");
    }
}
