//! Proxies, as their URLs name them.

use std::fmt;

/// A proxy.
#[derive(Clone, PartialEq, Eq)]
pub enum Proxy {
    /// SOCKS5, which the client speaks itself: the whole URL.
    Socks5(String),
    /// HTTP with `CONNECT`.
    Http(HttpProxy),
}

/// An HTTP proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpProxy {
    /// `host:port`.
    pub address: String,
    /// `user:password`.
    pub login: Option<String>,
}

/// The text names no proxy. It says nothing of the text: that may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Another scheme.
    #[error("must begin with `socks5://` or `http://`")]
    Scheme,
    /// No host, or no port.
    #[error("must end with a host and a port, e.g. `http://user:password@proxy:3128`")]
    Address,
}

impl Proxy {
    /// Reads a URL; `None` for an empty text.
    ///
    /// # Errors
    /// [`ProxyError`], which never repeats the text.
    pub fn parse(text: &str) -> Result<Option<Self>, ProxyError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let (scheme, rest) = text.split_once("://").ok_or(ProxyError::Scheme)?;
        let rest = rest.trim_end_matches('/');
        let (login, address) = match rest.rsplit_once('@') {
            Some((login, address)) => (Some(login.to_owned()), address),
            None => (None, rest),
        };
        let (host, port) = address.rsplit_once(':').ok_or(ProxyError::Address)?;
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._:[]".contains(letter);
        if host.is_empty() || !host.chars().all(plain) || port.parse::<u16>().is_err() {
            return Err(ProxyError::Address);
        }
        match scheme {
            "socks5" => Ok(Some(Self::Socks5(text.to_owned()))),
            "http" => Ok(Some(Self::Http(HttpProxy {
                address: address.to_owned(),
                login,
            }))),
            _ => Err(ProxyError::Scheme),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socks5(_) => "Socks5(***)",
            Self::Http(_) => "Http(***)",
        })
    }
}

impl fmt::Debug for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpProxy(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_read_and_never_shown() {
        let http = |address: &str, login: Option<&str>| {
            Ok(Some(Proxy::Http(HttpProxy {
                address: address.into(),
                login: login.map(str::to_owned),
            })))
        };
        assert_eq!(Proxy::parse(" "), Ok(None));
        assert_eq!(Proxy::parse("http://proxy:3128/"), http("proxy:3128", None));
        assert_eq!(
            Proxy::parse("http://me:p@ss@[::1]:80"),
            http("[::1]:80", Some("me:p@ss"))
        );
        let socks = "socks5://me:hunter2@10.0.0.1:1080";
        let proxy = Proxy::parse(socks).unwrap().unwrap();
        assert_eq!(proxy, Proxy::Socks5(socks.into()));
        assert!(!format!("{proxy:?}").contains("hunter2"));
        for (text, error) in [
            ("proxy:3128", ProxyError::Scheme),
            ("https://proxy:3128", ProxyError::Scheme),
            ("mtproxy://proxy:443", ProxyError::Scheme),
            ("http://proxy", ProxyError::Address),
            ("http://:80", ProxyError::Address),
            ("http://a b:80", ProxyError::Address),
            ("http://a\r\nb:80", ProxyError::Address),
            ("socks5://proxy:99999", ProxyError::Address),
        ] {
            assert_eq!(Proxy::parse(text), Err(error), "{text}");
        }
    }
}
