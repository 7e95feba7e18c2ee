//! Sessions as Telethon writes them down.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use zeroize::{Zeroize, Zeroizing};

/// Bytes before the key: data centre, address, port.
const V4: usize = 1 + 4 + 2;
const V6: usize = 1 + 16 + 2;
const KEY: usize = 256;

/// A session: where the account lives and the key that speaks for it.
///
/// Whoever has it is logged in. It is never printed, and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct StringSession {
    /// Number of the data centre.
    pub dc: u8,
    /// Its address.
    pub address: SocketAddr,
    key: [u8; KEY],
}

/// The text is not a session. It says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StringSessionError {
    /// There is none.
    #[error("it is empty")]
    Empty,
    /// Another version than `1`.
    #[error("it does not begin with `1`, as sessions of Telethon do")]
    Version,
    /// Not base 64.
    #[error("it is not base 64; was it cut when it was copied?")]
    Encoding,
    /// Neither of the two lengths.
    #[error("it has {0} bytes instead of 263 or 275; was it cut when it was copied?")]
    Length(usize),
    /// All zeros.
    #[error("it was saved before anybody logged in: its key is empty")]
    NoKey,
}

impl StringSession {
    /// Reads a session.
    ///
    /// # Errors
    /// [`StringSessionError`], which never repeats the text.
    ///
    /// # Source
    /// `telethon/sessions/string.py`: `1` + base 64 of `>B{4|16}sH256s`.
    pub fn parse(text: &str) -> Result<Self, StringSessionError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(StringSessionError::Empty);
        }
        let body = text.strip_prefix('1').ok_or(StringSessionError::Version)?;
        let bytes = URL_SAFE
            .decode(body)
            .map_err(|_| StringSessionError::Encoding)?;
        let bytes = Zeroizing::new(bytes);
        let ip = match bytes.len() {
            length if length == V4 + KEY => {
                let octets: [u8; 4] = std::array::from_fn(|at| bytes[1 + at]);
                IpAddr::V4(Ipv4Addr::from(octets))
            }
            length if length == V6 + KEY => {
                let octets: [u8; 16] = std::array::from_fn(|at| bytes[1 + at]);
                IpAddr::V6(Ipv6Addr::from(octets))
            }
            length => return Err(StringSessionError::Length(length)),
        };
        let rest = &bytes[bytes.len() - KEY - 2..];
        let port = u16::from_be_bytes([rest[0], rest[1]]);
        let mut key = [0; KEY];
        key.copy_from_slice(&rest[2..]);
        if key == [0; KEY] {
            return Err(StringSessionError::NoKey);
        }
        Ok(Self {
            dc: bytes[0],
            address: SocketAddr::new(ip, port),
            key,
        })
    }

    /// The key.
    pub fn key(&self) -> &[u8; KEY] {
        &self.key
    }
}

impl Drop for StringSession {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for StringSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StringSession")
            .field("dc", &self.dc)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ip: &[u8], key: u8) -> String {
        let mut bytes = vec![2];
        bytes.extend(ip);
        bytes.extend(443_u16.to_be_bytes());
        bytes.extend([key; KEY]);
        format!("1{}", URL_SAFE.encode(bytes))
    }

    #[test]
    fn both_address_families_are_read() {
        let session = StringSession::parse(&text(&[127, 0, 0, 1], 7)).unwrap();
        assert_eq!(session.dc, 2);
        assert_eq!(session.address, "127.0.0.1:443".parse().unwrap());
        assert_eq!(session.key(), &[7; KEY]);
        let mut ip = [0; 16];
        ip[15] = 1;
        let session = StringSession::parse(&text(&ip, 7)).unwrap();
        assert_eq!(session.address, "[::1]:443".parse().unwrap());
    }

    #[test]
    fn mistakes_are_told_without_the_text() {
        let good = text(&[127, 0, 0, 1], 7);
        for (text, error) in [
            (String::new(), StringSessionError::Empty),
            (good.replacen('1', "2", 1), StringSessionError::Version),
            ("1***".into(), StringSessionError::Encoding),
            (
                good[..good.len() - 4].into(),
                StringSessionError::Length(261),
            ),
            (text(&[127, 0, 0, 1], 0), StringSessionError::NoKey),
        ] {
            let told = StringSession::parse(&text).unwrap_err();
            assert_eq!(told, error);
            assert!(text.len() < 4 || !told.to_string().contains(&text));
        }
        let debug = format!("{:?}", StringSession::parse(&good).unwrap());
        assert_eq!(debug, "StringSession { dc: 2, .. }");
    }
}
