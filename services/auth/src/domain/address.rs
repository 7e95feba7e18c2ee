use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Where a request comes from, as far as throttling cares. `Debug` shows nothing of it.
///
/// An IPv6 host owns a whole /64, so that all of it counts as one address. Whoever has no address
/// shares one bucket.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientAddress(String);

impl ClientAddress {
    /// Reads the header that the gateway sets.
    pub fn from_header(value: Option<&str>) -> Self {
        let address = value.and_then(|text| text.trim().parse::<IpAddr>().ok());
        Self(match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => address.to_string(),
            Some(IpAddr::V6(address)) => {
                let network = address.to_bits() >> 64 << 64;
                format!("{}/64", Ipv6Addr::from_bits(network))
            }
            None => "unknown".to_owned(),
        })
    }

    /// The bytes to take a fingerprint of.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientAddress(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ClientAddress {
        ClientAddress::from_header(Some(text))
    }

    #[test]
    fn one_host_is_one_address() {
        assert_eq!(read("2001:db8:1:2::1"), read("2001:db8:1:2:ffff::9"));
        assert_ne!(read("2001:db8:1:2::1"), read("2001:db8:1:3::1"));
        assert_eq!(read("::ffff:192.0.2.1"), read(" 192.0.2.1 "));
        assert_ne!(read("192.0.2.1"), read("192.0.2.2"));
    }

    #[test]
    fn whoever_has_no_address_shares_a_bucket() {
        assert_eq!(
            ClientAddress::from_header(None),
            read("192.0.2.1, 10.0.0.1")
        );
    }
}
