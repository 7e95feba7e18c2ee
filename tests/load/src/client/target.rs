//! What is aimed at.

use std::net::SocketAddr;

use http::{HeaderValue, Uri};

/// A base URL, with the addresses behind its name looked up once.
#[derive(Clone, Debug)]
pub struct Target {
    url: String,
    is_tls: bool,
    host: String,
    authority: HeaderValue,
    prefix: String,
    addresses: Vec<SocketAddr>,
}

/// A target that cannot be aimed at.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No URL.
    #[error("`{0}` is no URL to aim at; write one like http://127.0.0.1:8000")]
    Url(String),
    /// The name leads nowhere.
    #[error("cannot find the host of `{url}`")]
    Name {
        /// Which.
        url: String,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing answers.
    #[error("nothing answers at {url}: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        reason: String,
    },
}

impl Target {
    /// Reads the URL and looks up its name.
    pub async fn resolve(url: &str) -> Result<Self, TargetError> {
        let wrong = || TargetError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(wrong());
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority
            .port_u16()
            .unwrap_or(if is_tls { 443 } else { 80 });
        let found = tokio::net::lookup_host((host.as_str(), port)).await;
        let addresses: Vec<SocketAddr> = found
            .map_err(|source| TargetError::Name {
                url: url.to_owned(),
                source,
            })?
            .collect();
        if addresses.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            is_tls,
            host,
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| wrong())?,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            addresses,
        })
    }

    /// As it was given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it is HTTPS.
    pub const fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Its host, without the port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The `Host` header.
    pub const fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// What stands before every path.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where to connect; they take turns.
    pub fn address(&self, turn: usize) -> SocketAddr {
        self.addresses[turn % self.addresses.len()]
    }

    /// Whether it is on this machine, so that its processes can be watched.
    pub fn is_local(&self) -> bool {
        self.addresses
            .iter()
            .all(|address| address.ip().is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn urls_are_read_and_mistakes_are_told() {
        let target = Target::resolve("http://127.0.0.1:8000/base/")
            .await
            .unwrap();
        assert_eq!((target.prefix(), target.host()), ("/base", "127.0.0.1"));
        assert_eq!(target.authority(), "127.0.0.1:8000");
        let target = Target::resolve("https://[::1]").await.unwrap();
        assert_eq!((target.address(3).port(), target.is_local()), (443, true));
        for wrong in [
            "127.0.0.1:8000",
            "ftp://x",
            "http://",
            "http://a:b@h/",
            "http://h/?q=1",
            "",
        ] {
            assert!(Target::resolve(wrong).await.is_err(), "{wrong}");
        }
    }
}
