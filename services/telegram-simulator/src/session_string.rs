//! Telethon's way to write down a session.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;

/// A session as Telethon's `StringSession` writes it: data centre, address, port, key.
pub(crate) fn string_session(dc: i32, address: SocketAddr, key: &[u8; 256]) -> String {
    let mut bytes = vec![dc as u8];
    match address.ip() {
        std::net::IpAddr::V4(ip) => bytes.extend(ip.octets()),
        std::net::IpAddr::V6(ip) => bytes.extend(ip.octets()),
    }
    bytes.extend(address.port().to_be_bytes());
    bytes.extend(key);
    format!("1{}", URL_SAFE.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_the_length_that_telethon_expects() {
        let four = string_session(2, "127.0.0.1:4000".parse().unwrap(), &[7; 256]);
        assert_eq!(four.len(), 353);
        assert!(four.starts_with("1An8AAAEPoAcHBw"), "{four}");
        let six = string_session(2, "[::1]:4000".parse().unwrap(), &[7; 256]);
        assert_eq!(six.len(), 369);
    }
}
