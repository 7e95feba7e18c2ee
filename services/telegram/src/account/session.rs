//! What grammers keeps of an account, under our control.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::{Mutex, MutexGuard, PoisonError};

use grammers_session::types::{DcOption, PeerId, PeerInfo, UpdateState, UpdatesState};
use grammers_session::{BoxFuture, Session, SessionData};

use crate::domain::string_session::StringSession;

/// The address and keys of an account's data centres; peers and states of updates are kept by the
/// service itself, which knows more of them than a client's session does.
pub(crate) struct AccountSession {
    home: i32,
    /// The address that the session was written with: what a server announces later does not move
    /// it, so that a wrong announcement cannot redirect the account's key.
    pinned: (SocketAddrV4, SocketAddrV6),
    options: Mutex<HashMap<i32, DcOption>>,
}

impl AccountSession {
    pub(crate) fn new(session: &StringSession) -> Self {
        let home = i32::from(session.dc);
        let pinned = both_families(session.address);
        let mut options = SessionData::default().dc_options;
        let option = DcOption {
            id: home,
            ipv4: pinned.0,
            ipv6: pinned.1,
            auth_key: Some(*session.key()),
        };
        options.insert(home, option);
        Self {
            home,
            pinned,
            options: Mutex::new(options),
        }
    }

    fn options(&self) -> MutexGuard<'_, HashMap<i32, DcOption>> {
        self.options.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// grammers wants both families and uses one: the other stays unspecified.
fn both_families(address: SocketAddr) -> (SocketAddrV4, SocketAddrV6) {
    match address {
        SocketAddr::V4(four) => {
            let six = SocketAddrV6::new(four.ip().to_ipv6_mapped(), four.port(), 0, 0);
            (four, six)
        }
        SocketAddr::V6(six) => {
            let four = SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, six.port());
            (four, six)
        }
    }
}

fn done<'a>() -> BoxFuture<'a, Result<(), Infallible>> {
    Box::pin(std::future::ready(Ok(())))
}

impl Session for AccountSession {
    type Error = Infallible;

    fn home_dc_id(&self) -> Result<i32, Infallible> {
        Ok(self.home)
    }

    fn set_home_dc_id(&self, _: i32) -> BoxFuture<'_, Result<(), Infallible>> {
        // A session that was imported is at home where it was written.
        done()
    }

    fn dc_option(&self, id: i32) -> Result<Option<DcOption>, Infallible> {
        Ok(self.options().get(&id).cloned())
    }

    fn set_dc_option(&self, option: &DcOption) -> BoxFuture<'_, Result<(), Infallible>> {
        let mut options = self.options();
        let mut kept = option.clone();
        if kept.id == self.home {
            (kept.ipv4, kept.ipv6) = self.pinned;
            // The key of the home is the account; a failed handshake must not replace it.
            kept.auth_key = options.get(&kept.id).and_then(|known| known.auth_key);
        }
        if kept.ipv6.ip() == &Ipv6Addr::UNSPECIFIED {
            kept.ipv6 = both_families(kept.ipv4.into()).1;
        }
        options.insert(kept.id, kept);
        done()
    }

    fn peer(&self, _: PeerId) -> BoxFuture<'_, Result<Option<PeerInfo>, Infallible>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn cache_peer(&self, _: PeerInfo) -> BoxFuture<'_, Result<(), Infallible>> {
        done()
    }

    fn updates_state(&self) -> BoxFuture<'_, Result<UpdatesState, Infallible>> {
        Box::pin(std::future::ready(Ok(UpdatesState::default())))
    }

    fn set_update_state(&self, _: UpdateState) -> BoxFuture<'_, Result<(), Infallible>> {
        done()
    }
}
