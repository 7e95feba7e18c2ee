//! Whose request it is, as far as the network tells.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The header that trusted proxies write; the others are never read, because a client may send them
/// through a proxy that does not touch them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// A list; each proxy appends whom it got the request from.
    XForwardedFor,
    /// The same, as RFC 7239 has it.
    Forwarded,
    /// One address, which the proxy sets itself.
    XRealIp,
}

/// Proxies that are believed.
#[derive(Clone, Debug)]
pub(crate) struct Proxies {
    trusted: Vec<IpNet>,
    header: ProxyHeader,
}

/// Where limits by address are kept: an IPv6 network of 64 bits is one address, because whoever has
/// one has them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// A host, or a network of IPv6.
    Known(IpAddr),
    /// All whose address cannot be told share one place.
    Unknown,
}

impl Place {
    /// The place of an address.
    pub fn of(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::Unknown,
            Some(IpAddr::V4(address)) => Self::Known(address.into()),
            Some(IpAddr::V6(address)) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                Self::Known(Ipv6Addr::from_bits(network).into())
            }
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known(address) => write!(f, "{address}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl Proxies {
    /// Believes the header of these networks.
    pub fn new(trusted: Vec<IpNet>, header: ProxyHeader) -> Self {
        Self { trusted, header }
    }

    /// The client's address: the first one from the right that is no trusted proxy. `None` when it
    /// cannot be told.
    pub fn client(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = peer?.ip().to_canonical();
        if !self.trusts(peer) {
            return Some(peer);
        }
        let mut client = peer;
        for hop in self.hops(headers).iter().rev() {
            // What cannot be read was not written by a proxy that can be trusted.
            client = (*hop)?;
            if !self.trusts(client) {
                break;
            }
        }
        Some(client)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted
            .iter()
            .any(|network| network.contains(&address))
    }

    /// From the client's side to ours; `None` for what is no address.
    fn hops(&self, headers: &HeaderMap) -> Vec<Option<IpAddr>> {
        let (name, read): (HeaderName, fn(&str) -> Option<IpAddr>) = match self.header {
            ProxyHeader::XForwardedFor => (HeaderName::from_static("x-forwarded-for"), plain),
            ProxyHeader::Forwarded => (FORWARDED, element),
            ProxyHeader::XRealIp => (HeaderName::from_static("x-real-ip"), plain),
        };
        let mut hops = Vec::new();
        for value in headers.get_all(name) {
            match value.to_str() {
                Ok(value) => hops.extend(value.split(',').map(read)),
                Err(_) => hops.push(None),
            }
        }
        hops
    }
}

/// `192.0.2.7`, `192.0.2.7:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn plain(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address.or_else(bare).map(|address| address.to_canonical())
}

/// One element of `Forwarded`: `for=192.0.2.7;proto=https`, `For="[2001:db8::1]:80"`.
fn element(text: &str) -> Option<IpAddr> {
    text.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for")
            .then(|| plain(value.trim_matches('"')))
            .flatten()
    })
}

/// Networks, or single addresses, separated by commas.
pub(crate) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let read = |part: &str| {
        part.parse::<IpNet>()
            .or_else(|_| part.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| format!("`{part}` is no network; expected e.g. `10.0.0.0/8`"))
    };
    parts.map(read).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const PEER: &str = "10.0.0.9";

    fn proxies(header: ProxyHeader) -> Proxies {
        Proxies::new(networks("10.0.0.0/8, 2001:db8:1::/48").unwrap(), header)
    }

    fn client(header: ProxyHeader, peer: &str, pairs: &[(&str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
        let found = proxies(header).client(Some(peer), &headers);
        Place::of(found).to_string()
    }

    #[test]
    fn strangers_are_who_they_are_whatever_they_say() {
        for header in [
            ProxyHeader::XForwardedFor,
            ProxyHeader::Forwarded,
            ProxyHeader::XRealIp,
        ] {
            let said = [
                ("x-forwarded-for", "192.0.2.1"),
                ("forwarded", "for=192.0.2.1"),
                ("x-real-ip", "192.0.2.1"),
            ];
            assert_eq!(client(header, "203.0.113.5", &said), "203.0.113.5");
            assert_eq!(client(header, "::ffff:203.0.113.5", &said), "203.0.113.5");
        }
    }

    #[test]
    fn the_first_from_the_right_that_is_no_proxy_counts() {
        let list = |value| {
            client(
                ProxyHeader::XForwardedFor,
                PEER,
                &[("x-forwarded-for", value)],
            )
        };
        assert_eq!(list("198.51.100.1"), "198.51.100.1");
        // The left side is what the client said.
        assert_eq!(list("127.0.0.1, 198.51.100.1, 10.1.1.1"), "198.51.100.1");
        assert_eq!(list("198.51.100.1:443"), "198.51.100.1");
        assert_eq!(list("[2001:db8:2::7]:443"), "2001:db8:2::");
        assert_eq!(list("10.2.2.2, 10.1.1.1"), "10.2.2.2");
        let two = [
            ("x-forwarded-for", "192.0.2.9"),
            ("x-forwarded-for", "198.51.100.1"),
        ];
        assert_eq!(
            client(ProxyHeader::XForwardedFor, PEER, &two),
            "198.51.100.1"
        );
        let rfc = |value| client(ProxyHeader::Forwarded, PEER, &[("forwarded", value)]);
        assert_eq!(
            rfc("for=192.0.2.9, For=\"198.51.100.1:80\";proto=https"),
            "198.51.100.1"
        );
        assert_eq!(rfc("proto=https;for=\"[2001:db8:2::7]\""), "2001:db8:2::");
    }

    #[test]
    fn what_cannot_be_told_is_unknown_and_never_nobody() {
        for value in [
            "unknown",
            "198.51.100.1, ",
            "198.51.100.1, _hidden",
            "",
            "1.2.3",
        ] {
            assert_eq!(
                client(
                    ProxyHeader::XForwardedFor,
                    PEER,
                    &[("x-forwarded-for", value)]
                ),
                "unknown",
                "{value}"
            );
        }
        let rfc = client(
            ProxyHeader::Forwarded,
            PEER,
            &[("forwarded", "by=10.0.0.1")],
        );
        assert_eq!(rfc, "unknown");
        assert_eq!(
            proxies(ProxyHeader::XRealIp).client(None, &HeaderMap::new()),
            None
        );
    }

    #[test]
    fn only_the_header_that_the_proxies_write_is_read() {
        let said = [
            ("x-forwarded-for", "198.51.100.1"),
            ("x-real-ip", "192.0.2.9"),
        ];
        assert_eq!(
            client(ProxyHeader::XForwardedFor, PEER, &said),
            "198.51.100.1"
        );
        assert_eq!(client(ProxyHeader::XRealIp, PEER, &said), "192.0.2.9");
        assert_eq!(client(ProxyHeader::Forwarded, PEER, &said), PEER);
    }

    #[test]
    fn a_network_of_ipv6_is_one_place() {
        let place = |text: &str| Place::of(Some(text.parse().unwrap()));
        assert_eq!(place("2001:db8:7:7::1"), place("2001:db8:7:7:ffff::2"));
        assert_ne!(place("2001:db8:7:7::1"), place("2001:db8:7:8::1"));
        assert_ne!(place("192.0.2.1"), place("192.0.2.2"));
        assert_eq!(place("::ffff:192.0.2.1"), place("192.0.2.1"));
    }
}
