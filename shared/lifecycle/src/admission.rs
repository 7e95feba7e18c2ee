//! How many connections there may be.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Edge;

/// Counts the connections of one listener.
#[derive(Clone, Debug)]
pub(crate) struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    edge: Edge,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Admission,
    address: IpAddr,
}

impl Admission {
    pub fn new(edge: Edge) -> Self {
        Self(Arc::new(Inner {
            edge,
            open: Mutex::default(),
        }))
    }

    /// A place for a connection from `address`, or why there is none.
    pub fn admit(&self, address: IpAddr) -> Result<Place, &'static str> {
        let (edge, address) = (&self.0.edge, network(address));
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= edge.connections {
            return Err("limit");
        }
        let own = open.by_address.entry(address).or_default();
        if *own >= edge.connections_per_address {
            return Err("address_limit");
        }
        *own += 1;
        open.all += 1;
        edge.metrics.open.inc();
        Ok(Place {
            admission: self.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let inner = &*self.admission.0;
        let mut open = inner.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(own) = open.by_address.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                open.by_address.remove(&self.address);
            }
        }
        inner.edge.metrics.open.dec();
    }
}

/// What counts as one address: a customer of IPv6 has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::from(u64::MAX),
        )),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(all: usize, per_address: usize) -> Admission {
        Admission::new(Edge {
            connections: all,
            connections_per_address: per_address,
            ..Edge::default()
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_limited_in_all_and_per_address_and_come_back() {
        let admission = admission(3, 2);
        let first = admission.admit(address("192.0.2.1")).unwrap();
        let _second = admission.admit(address("192.0.2.1")).unwrap();
        assert_eq!(
            admission.admit(address("192.0.2.1")).unwrap_err(),
            "address_limit"
        );
        let _third = admission.admit(address("192.0.2.2")).unwrap();
        assert_eq!(admission.admit(address("192.0.2.3")).unwrap_err(), "limit");
        assert_eq!(admission.0.edge.metrics.open.get(), 3);
        drop(first);
        admission.admit(address("192.0.2.1")).unwrap();
        assert_eq!(admission.0.edge.metrics.open.get(), 2);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let admission = admission(9, 1);
        let _place = admission.admit(address("2001:db8::1")).unwrap();
        admission.admit(address("2001:db8::ffff")).unwrap_err();
        admission.admit(address("2001:db8:0:1::1")).unwrap();
        let _mapped = admission.admit(address("::ffff:192.0.2.1")).unwrap();
        admission.admit(address("192.0.2.1")).unwrap_err();
    }
}
