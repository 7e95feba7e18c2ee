//! What grammers keeps of an account, under our control.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grammers_session::types::{DcOption, PeerId, PeerInfo, UpdateState, UpdatesState};
use grammers_session::{BoxFuture, Session, SessionData};
use touchstone_error::chain;
use zeroize::Zeroizing;

use crate::domain::string_session::StringSession;
use crate::domain::vault::Vault;
use crate::store::{Store, account_name};

/// Bytes of a data centre's addresses and key, as they are sealed.
const PLAIN: usize = 4 + 2 + 16 + 2 + 256;

/// The address and keys of an account's data centres; peers and states of updates are kept by the
/// service itself, which knows more of them than a client's session does.
///
/// The key of the home is in the configuration alone. Keys that were agreed on with other data
/// centres are kept in the store, sealed.
pub(crate) struct AccountSession {
    /// Name of the account, which tells nothing of its key.
    account: String,
    home: i32,
    /// The address that the session was written with: what a server announces later does not move
    /// it, so that a wrong announcement cannot redirect the account's key.
    pinned: (SocketAddrV4, SocketAddrV6),
    is_ipv6: bool,
    options: Mutex<HashMap<i32, DcOption>>,
    /// What the store has, as far as it is known.
    kept: Mutex<HashMap<i32, DcOption>>,
    vault: Vault,
    store: Arc<dyn Store>,
}

/// What a session begins with.
pub(crate) struct Beginning<'a> {
    /// The account at home.
    pub home: &'a StringSession,
    /// Keys that are known at other data centres.
    pub elsewhere: &'a [StringSession],
    /// Where keys are kept.
    pub store: Arc<dyn Store>,
}

impl AccountSession {
    /// Takes up what was kept.
    pub(crate) async fn open(begin: Beginning<'_>) -> Result<Self, OpenError> {
        let vault = Vault::of(begin.home).map_err(|_| OpenError::Vault)?;
        let account = account_name(begin.home.key());
        let mut options = HashMap::new();
        // A data centre on this machine is a simulated one: nothing there may lead out of it.
        if !begin.home.address.ip().is_loopback() {
            options = SessionData::default().dc_options;
        }
        let mut kept = HashMap::new();
        for (dc, sealed) in begin.store.keys(&account).await? {
            match vault
                .open(&name(dc), &sealed)
                .and_then(|it| unpack(dc, &it))
            {
                Some(option) => {
                    kept.insert(dc, option.clone());
                    options.insert(dc, option);
                }
                None => tracing::warn!(dc, "a kept key does not open; another one is agreed on"),
            }
        }
        for session in begin.elsewhere.iter().chain([begin.home]) {
            let option = option(session);
            options.insert(option.id, option);
        }
        Ok(Self {
            account,
            home: i32::from(begin.home.dc),
            pinned: both_families(begin.home.address),
            is_ipv6: begin.home.address.is_ipv6(),
            options: Mutex::new(options),
            kept: Mutex::new(kept),
            vault,
            store: begin.store,
        })
    }

    /// Name of the account, which tells nothing of its key.
    pub(crate) fn account(&self) -> &str {
        &self.account
    }

    /// Number of the data centre where the account lives.
    pub(crate) fn home(&self) -> i32 {
        self.home
    }

    /// Whether the account lives at an IPv6 address.
    pub(crate) fn is_ipv6(&self) -> bool {
        self.is_ipv6
    }

    /// The data centre at an address.
    pub(crate) fn at(&self, address: SocketAddr) -> Option<i32> {
        let plain = |ip: IpAddr, port| (ip.to_canonical(), port);
        let wanted = plain(address.ip(), address.port());
        let is_there = |option: &&DcOption| {
            let (four, six) = (option.ipv4, option.ipv6);
            [
                plain((*four.ip()).into(), four.port()),
                plain((*six.ip()).into(), six.port()),
            ]
            .contains(&wanted)
        };
        let options = self.options();
        options.values().find(is_there).map(|option| option.id)
    }

    fn options(&self) -> MutexGuard<'_, HashMap<i32, DcOption>> {
        self.options.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<i32, DcOption>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what a server announced, as far as it may say; returns what is from now on.
    fn take(&self, option: &DcOption) -> DcOption {
        let mut options = self.options();
        let known = options.get(&option.id);
        let mut taken = option.clone();
        if taken.id == self.home {
            (taken.ipv4, taken.ipv6) = self.pinned;
            // The key of the home is the account; a failed handshake must not replace it.
            taken.auth_key = known.and_then(|known| known.auth_key);
        }
        if taken.ipv6.ip() == &Ipv6Addr::UNSPECIFIED {
            taken.ipv6 = both_families(taken.ipv4.into()).1;
        }
        options.insert(taken.id, taken.clone());
        taken
    }

    /// Whether a data centre has to be kept: the home is not, and without a key there is nothing.
    fn is_new(&self, option: &DcOption) -> bool {
        let parts = |option: &DcOption| (option.ipv4, option.ipv6, option.auth_key);
        let kept = self.kept();
        let same = kept
            .get(&option.id)
            .is_some_and(|kept| parts(kept) == parts(option));
        option.id != self.home && option.auth_key.is_some() && !same
    }

    /// Keeps a data centre, sealed. A failure costs a handshake at the next start, no more.
    async fn keep(&self, option: &DcOption) {
        let Ok(sealed) = self.vault.seal(&name(option.id), &pack(option)) else {
            return;
        };
        let kept = self.store.keep_key(&self.account, option.id, &sealed);
        match kept.await {
            Ok(()) => drop(self.kept().insert(option.id, option.clone())),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the key of a data centre cannot be kept");
            }
        }
    }
}

impl fmt::Debug for AccountSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountSession")
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

/// A session cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The store does not answer.
    #[error("the kept keys cannot be read")]
    Store(#[from] touchstone_store::Error),
    /// The seal cannot be made.
    #[error("kept keys cannot be sealed")]
    Vault,
}

/// Under which name a data centre is sealed.
fn name(dc: i32) -> String {
    format!("data centre {dc}")
}

fn option(session: &StringSession) -> DcOption {
    let (ipv4, ipv6) = both_families(session.address);
    DcOption {
        id: i32::from(session.dc),
        ipv4,
        ipv6,
        auth_key: Some(*session.key()),
    }
}

fn pack(option: &DcOption) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(PLAIN));
    bytes.extend(option.ipv4.ip().octets());
    bytes.extend(option.ipv4.port().to_be_bytes());
    bytes.extend(option.ipv6.ip().octets());
    bytes.extend(option.ipv6.port().to_be_bytes());
    bytes.extend(option.auth_key.iter().flatten());
    bytes
}

fn unpack(dc: i32, bytes: &[u8]) -> Option<DcOption> {
    let (four, rest) = bytes.split_first_chunk::<4>()?;
    let (four_port, rest) = rest.split_first_chunk::<2>()?;
    let (six, rest) = rest.split_first_chunk::<16>()?;
    let (six_port, key) = rest.split_first_chunk::<2>()?;
    Some(DcOption {
        id: dc,
        ipv4: SocketAddrV4::new((*four).into(), u16::from_be_bytes(*four_port)),
        ipv6: SocketAddrV6::new((*six).into(), u16::from_be_bytes(*six_port), 0, 0),
        auth_key: Some(key.try_into().ok()?),
    })
}

/// grammers wants both families and uses one: the other stays unspecified.
fn both_families(address: SocketAddr) -> (SocketAddrV4, SocketAddrV6) {
    match address {
        SocketAddr::V4(four) => {
            let six = SocketAddrV6::new(four.ip().to_ipv6_mapped(), four.port(), 0, 0);
            (four, six)
        }
        SocketAddr::V6(six) => {
            let four = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, six.port());
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
        let option = self.take(option);
        if !self.is_new(&option) {
            return done();
        }
        Box::pin(async move {
            self.keep(&option).await;
            Ok(())
        })
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

#[cfg(test)]
mod tests;
