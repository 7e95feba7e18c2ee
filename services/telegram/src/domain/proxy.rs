//! Proxies, as their URLs name them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A proxy.
#[derive(Clone, PartialEq, Eq)]
pub enum Proxy {
    /// SOCKS5, which the client speaks itself: the whole URL.
    Socks5(String),
    /// HTTP with `CONNECT`.
    Http(HttpProxy),
    /// An MTProxy.
    Mtproxy(MtProxy),
}

/// An HTTP proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpProxy {
    /// `host:port`.
    pub address: String,
    /// `user:password`.
    pub login: Option<String>,
}

/// An MTProxy.
#[derive(Clone, PartialEq, Eq)]
pub struct MtProxy {
    /// `host:port`.
    pub address: String,
    /// What it demands to know.
    pub secret: [u8; 16],
    /// Whether packets are padded, so that their lengths tell nothing: secrets with `dd`.
    pub padded: bool,
}

/// The text names no proxy. It says nothing of the text: that may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Another scheme.
    #[error("must begin with `socks5://`, `http://` or `mtproxy://`")]
    Scheme,
    /// No host, or no port.
    #[error("must end with a host and a port, e.g. `http://user:password@proxy:3128`")]
    Address,
    /// The secret of an MTProxy is none.
    #[error(
        "must have a secret of 32 hexadecimal digits, or `dd` and as many: `mtproxy://secret@host:443`"
    )]
    Secret,
    /// A secret that asks for another protocol around it.
    #[error("has a secret that begins with `ee` (fake TLS), which is not supported")]
    FakeTls,
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
            "mtproxy" => {
                let (secret, padded) = secret(login.as_deref().unwrap_or_default())?;
                Ok(Some(Self::Mtproxy(MtProxy {
                    address: address.to_owned(),
                    secret,
                    padded,
                })))
            }
            _ => Err(ProxyError::Scheme),
        }
    }
}

/// Reads the secret of an MTProxy, in hexadecimal digits or base 64, and whether it wants padding.
fn secret(text: &str) -> Result<([u8; 16], bool), ProxyError> {
    let bytes = hex::decode(text)
        .or_else(|_| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')))
        .map_err(|_| ProxyError::Secret)?;
    let whole = |bytes: &[u8]| bytes.try_into().map_err(|_| ProxyError::Secret);
    match bytes.as_slice() {
        [0xee, rest @ ..] if rest.len() >= 16 => Err(ProxyError::FakeTls),
        [0xdd, rest @ ..] if rest.len() == 16 => Ok((whole(rest)?, true)),
        plain => Ok((whole(plain)?, false)),
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socks5(_) => "Socks5(***)",
            Self::Http(_) => "Http(***)",
            Self::Mtproxy(_) => "Mtproxy(***)",
        })
    }
}

impl fmt::Debug for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpProxy(***)")
    }
}

impl fmt::Debug for MtProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MtProxy(***)")
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
            ("mtproxy://proxy:443", ProxyError::Secret),
            ("mtproxy://0123@proxy:443", ProxyError::Secret),
            (
                "mtproxy://0123456789abcdef0123456789abcdef@proxy",
                ProxyError::Address,
            ),
            ("http://proxy", ProxyError::Address),
            ("http://:80", ProxyError::Address),
            ("http://a b:80", ProxyError::Address),
            ("http://a\r\nb:80", ProxyError::Address),
            ("socks5://proxy:99999", ProxyError::Address),
        ] {
            assert_eq!(Proxy::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn secrets_of_mtproxies_say_whether_they_want_padding() {
        let digits = "000102030405060708090a0b0c0d0e0f";
        let read = |secret: &str| Proxy::parse(&format!("mtproxy://{secret}@proxy:443"));
        let expected = |padded| {
            Ok(Some(Proxy::Mtproxy(MtProxy {
                address: "proxy:443".into(),
                secret: std::array::from_fn(|at| at as u8),
                padded,
            })))
        };
        assert_eq!(read(digits), expected(false));
        assert_eq!(read(&digits.to_uppercase()), expected(false));
        assert_eq!(read(&format!("dd{digits}")), expected(true));
        assert_eq!(read("AAECAwQFBgcICQoLDA0ODw=="), expected(false));
        assert_eq!(read("3QABAgMEBQYHCAkKCwwNDg8"), expected(true));
        let fake = format!("ee{digits}{}", hex::encode("example.org"));
        assert_eq!(read(&fake), Err(ProxyError::FakeTls));
        assert_eq!(read(&format!("cc{digits}")), Err(ProxyError::Secret));
        let proxy = read(digits).unwrap().unwrap();
        assert_eq!(format!("{proxy:?}"), "Mtproxy(***)");
    }
}
