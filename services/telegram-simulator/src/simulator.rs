//! The data centre as a whole: started, asked, told what happens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tokio::net::TcpListener;
use touchstone_lifecycle::Lifecycle;
use touchstone_types::Clock;

use crate::center::{Center, LoggedCall, Proxied};
use crate::control::{self, PostRequest};
use crate::faults::Armed;
use crate::keys::KeyError;
use crate::objects::DC;
use crate::scenario::{Scenario, ScenarioError};
use crate::world::World;
use crate::{connection, session_string, wire};

/// The simulator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is not one of this machine alone.
    #[error("`{0}` is not a loopback address: a simulated data centre is for this machine only")]
    NotLoopback(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The scenario is wrong.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
}

/// A running data centre.
#[derive(Clone)]
pub struct Simulator {
    center: Arc<Center>,
    session: Arc<str>,
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

impl Simulator {
    /// Starts a data centre on a loopback address; port 0 takes any.
    ///
    /// It ends with the soft stop of `life`.
    ///
    /// # Errors
    /// [`StartError`] when the address is not loopback or taken, or the scenario is wrong.
    pub async fn start(
        address: SocketAddr,
        scenario: Scenario,
        clock: Arc<dyn Clock>,
        life: &Lifecycle,
    ) -> Result<Self, StartError> {
        if !address.ip().is_loopback() {
            return Err(StartError::NotLoopback(address));
        }
        scenario.check()?;
        let failed = |source| StartError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let mut listeners = vec![(DC, listener)];
        for dc in &scenario.elsewhere {
            let any = SocketAddr::new(address.ip(), 0);
            let listener = TcpListener::bind(any).await.map_err(failed)?;
            listeners.push((*dc, listener));
        }
        let mut places = Vec::new();
        for (dc, listener) in &listeners {
            places.push((*dc, listener.local_addr().map_err(failed)?));
        }
        // The key of the printed session follows from the seed: the line stays valid.
        let mut rng = ChaCha20Rng::seed_from_u64(scenario.seed);
        let mut key = [0; 256];
        rand::Rng::fill_bytes(&mut rng, &mut key);
        let salt = rng.random();
        let center = Arc::new(Center::new(scenario, places, clock));
        let user = center.world().users[0].id;
        center.keys().add(DC, key, Some(user), salt);
        for dc in &center.scenario().elsewhere {
            let key = key_elsewhere(center.scenario().seed, *dc);
            center.keys().add(*dc, key, None, salt);
        }
        let session = session_string::string_session(DC, bound, &key).into();
        // Connections are numbered over all of them.
        let numbers = Arc::<AtomicU64>::default();
        for (dc, listener) in listeners {
            life.spawn(
                "telegram-simulator.accept",
                accept(
                    Arc::clone(&center),
                    listener,
                    dc,
                    Arc::clone(&numbers),
                    life.clone(),
                ),
            );
        }
        Ok(Self { center, session })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.center.places()[0].1
    }

    /// A Telethon `StringSession` of the first user.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// A `StringSession` for a further data centre, where nobody is logged in with it yet: for
    /// clients that cannot be taught this simulator's RSA key.
    pub fn session_elsewhere(&self, dc: i32) -> Option<String> {
        let place = self.center.place(dc).filter(|_| dc != DC)?;
        let key = key_elsewhere(self.center.scenario().seed, dc);
        Some(session_string::string_session(dc, place, &key))
    }

    /// Connections that came with the proxy's secret, oldest first.
    pub fn proxied(&self) -> Vec<Proxied> {
        self.center.proxied()
    }

    /// The public RSA key for handshakes, PKCS #1 in PEM.
    ///
    /// # Errors
    /// [`KeyError`] when no key can be made.
    pub fn public_key(&self) -> Result<String, KeyError> {
        self.center.server_key().public_pem().map(str::to_owned)
    }

    /// The secret of the MTProto proxy that the simulator also is, if the scenario has one.
    pub fn proxy_secret(&self) -> Option<String> {
        self.center.scenario().proxy_secret.clone()
    }

    /// The control API, to be served on loopback.
    pub fn control(&self) -> Router {
        control::router(self.clone())
    }

    /// Reads the world.
    pub fn read<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        look(&self.center.world())
    }

    /// Publishes a post in the channel with a bare id; returns its number.
    pub fn post(&self, channel: i64, request: PostRequest) -> Option<i32> {
        let post = request.into_post(self.center.now());
        self.center.post(channel, post)
    }

    /// Edits a post; false when there is none.
    pub fn edit(&self, channel: i64, id: i32, text: &str) -> bool {
        self.center.edit(channel, id, text)
    }

    /// Deletes posts; returns the numbers that existed.
    pub fn delete(&self, channel: i64, ids: &[i32]) -> Vec<i32> {
        self.center.delete(channel, ids)
    }

    /// Gives a channel another title; clients are not told, they see it next to what they ask for. False
    /// when there is no such channel.
    pub fn rename(&self, channel: i64, title: &str) -> bool {
        let mut world = self.center.world();
        let found = world.channel_mut(channel);
        found.is_some_and(|channel| {
            title.clone_into(&mut channel.title);
            true
        })
    }

    /// Lets the views of every post grow.
    pub fn tick(&self) {
        self.center.world().tick();
    }

    /// Arms a fault.
    pub fn arm(&self, armed: Armed) {
        self.center.faults.arm(armed);
    }

    /// Disarms all faults that still wait.
    pub fn disarm(&self) {
        self.center.faults.clear();
    }

    /// How often each kind of fault struck; hidden limits count as `limit`.
    pub fn fired(&self) -> std::collections::BTreeMap<String, u64> {
        self.center.faults.fired()
    }

    /// The latest calls of all clients.
    pub fn calls(&self) -> Vec<LoggedCall> {
        self.center.calls()
    }

    /// How often a method was answered without an error.
    pub fn answered(&self, method: &str) -> u64 {
        self.center.answered(method)
    }

    /// Sessions with a connection.
    pub fn connected(&self) -> usize {
        self.center.sessions.connected()
    }

    /// Forgets the key of the printed session: its clients meet the transport error 404.
    pub fn revoke(&self) {
        let mut rng = ChaCha20Rng::seed_from_u64(self.center.scenario().seed);
        let mut key = [0; 256];
        rand::Rng::fill_bytes(&mut rng, &mut key);
        self.center.keys().forget(wire::crypto::key_id(&key));
    }
}

/// A key that exists from the start at a further data centre.
fn key_elsewhere(seed: u64, dc: i32) -> [u8; 256] {
    let mut rng = ChaCha20Rng::seed_from_u64(seed.wrapping_add(dc as u64) ^ 0xe15e);
    let mut key = [0; 256];
    rand::Rng::fill_bytes(&mut rng, &mut key);
    key
}

async fn accept(
    center: Arc<Center>,
    listener: TcpListener,
    dc: i32,
    numbers: Arc<AtomicU64>,
    life: Lifecycle,
) {
    let stop = life.soft_stop();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Descriptors run out: clients wait, the loop does not spin.
                tracing::warn!(%error, "a client could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let center = Arc::clone(&center);
        let stop = stop.clone();
        life.spawn("telegram-simulator.connection", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection::serve(center, stream, dc, number) => {}
            }
        });
    }
}
