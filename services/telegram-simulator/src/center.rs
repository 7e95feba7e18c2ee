//! The data centre: the world, who is connected, and what was asked.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use grammers_tl_types as tl;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use serde::Serialize;
use touchstone_types::Clock;

use crate::faults::{Fault, Faults, Point};
use crate::keys::{KeyStore, ServerKey};
use crate::objects;
use crate::rpc;
use crate::scenario::Scenario;
use crate::session::Sessions;
use crate::world::{Change, Post, World};

/// Calls that the log keeps.
const LOG: usize = 10_000;

/// A call, as the log has it.
#[derive(Debug, Clone, Serialize)]
pub struct LoggedCall {
    /// Number of the call, from 1.
    pub number: u64,
    /// Seconds since the start.
    pub at: f64,
    /// The method, e.g. `messages.getHistory`; its constructor when this data centre lacks it.
    pub method: String,
    /// Number of the data centre that was asked.
    pub data_centre: i32,
    /// `ok`, or the error.
    pub outcome: String,
}

/// A connection that came with the proxy's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Proxied {
    /// The data centre that it asked for.
    pub data_centre: i16,
    /// Whether its packets are padded, as secrets with `dd` demand.
    pub padded: bool,
}

/// A data centre.
pub(crate) struct Center {
    scenario: Scenario,
    /// Where each data centre listens, the home first.
    places: Vec<(i32, SocketAddr)>,
    started: Instant,
    clock: Arc<dyn Clock>,
    world: Mutex<World>,
    keys: KeyStore,
    server_key: ServerKey,
    pub(crate) sessions: Sessions,
    pub(crate) faults: Faults,
    calls: Mutex<VecDeque<LoggedCall>>,
    answered: Mutex<BTreeMap<String, u64>>,
    counted: AtomicU64,
    skew: AtomicI32,
    file_epoch: AtomicU32,
    randomness: Mutex<ChaCha20Rng>,
    held: Mutex<Vec<tl::enums::Updates>>,
    proxied: Mutex<Vec<Proxied>>,
}

impl Center {
    pub(crate) fn new(
        scenario: Scenario,
        places: Vec<(i32, SocketAddr)>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            world: Mutex::new(World::new(&scenario)),
            faults: Faults::new(scenario.limits.clone()),
            // Noise and nonces need not be secret here: the world is made up, and on loopback.
            randomness: Mutex::new(ChaCha20Rng::seed_from_u64(scenario.seed ^ 0x5eed)),
            scenario,
            places,
            started: Instant::now(),
            clock,
            keys: KeyStore::default(),
            server_key: ServerKey::default(),
            sessions: Sessions::default(),
            calls: Mutex::default(),
            answered: Mutex::default(),
            counted: AtomicU64::default(),
            skew: AtomicI32::default(),
            file_epoch: AtomicU32::default(),
            held: Mutex::default(),
            proxied: Mutex::default(),
        }
    }

    pub(crate) fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Where each data centre listens, the home first.
    pub(crate) fn places(&self) -> &[(i32, SocketAddr)] {
        &self.places
    }

    /// Where a data centre listens.
    pub(crate) fn place(&self, dc: i32) -> Option<SocketAddr> {
        let mut places = self.places.iter();
        places
            .find(|(number, _)| *number == dc)
            .map(|(_, place)| *place)
    }

    /// Remembers that a connection came with the proxy's secret, and where it wanted to go.
    pub(crate) fn came_through_proxy(&self, connection: Proxied) {
        let mut proxied = self.proxied.lock().unwrap_or_else(PoisonError::into_inner);
        proxied.push(connection);
    }

    /// Connections with the proxy's secret, oldest first.
    pub(crate) fn proxied(&self) -> Vec<Proxied> {
        let proxied = self.proxied.lock().unwrap_or_else(PoisonError::into_inner);
        proxied.clone()
    }

    pub(crate) fn keys(&self) -> &KeyStore {
        &self.keys
    }

    pub(crate) fn server_key(&self) -> &ServerKey {
        &self.server_key
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Randomness for nonces and padding.
    pub(crate) fn randomness(&self) -> ChaCha20Rng {
        let mut source = self
            .randomness
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        ChaCha20Rng::from_seed(source.random())
    }

    /// Seconds since 1970, with the skew that a fault asked for.
    pub(crate) fn now(&self) -> i32 {
        let now = i32::try_from(self.clock.now().timestamp()).unwrap_or(i32::MAX);
        now.saturating_add(self.skew.load(Ordering::Relaxed))
    }

    /// Now as message identifiers count: units of 2^-32 seconds since 1970, a multiple of 4.
    pub(crate) fn message_time(&self) -> i64 {
        let nanos = i64::from(self.clock.now().timestamp_subsec_nanos());
        ((i64::from(self.now()) << 32) | ((nanos << 32) / 1_000_000_000)) & !3
    }

    /// The secret of the MTProto proxy that this data centre also is.
    pub(crate) fn proxy_secret(&self) -> Option<[u8; 16]> {
        let text = self.scenario.proxy_secret.as_deref()?;
        u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
    }

    /// Seconds since the start.
    pub(crate) fn uptime(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    pub(crate) fn set_skew(&self, seconds: i32) {
        self.skew.store(seconds, Ordering::Relaxed);
    }

    pub(crate) fn file_epoch(&self) -> u32 {
        self.file_epoch.load(Ordering::Relaxed)
    }

    /// Lets all file references expire.
    pub(crate) fn expire_files(&self) {
        self.file_epoch.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn log(&self, data_centre: i32, method: String, outcome: String) {
        let number = self.counted.fetch_add(1, Ordering::Relaxed) + 1;
        if outcome == "ok" {
            let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
            *answered.entry(method.clone()).or_default() += 1;
        }
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() == LOG {
            calls.pop_front();
        }
        calls.push_back(LoggedCall {
            number,
            at: self.uptime(),
            method,
            data_centre,
            outcome,
        });
    }

    /// The latest calls, oldest first.
    pub(crate) fn calls(&self) -> Vec<LoggedCall> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().cloned().collect()
    }

    /// How often a method was answered.
    pub(crate) fn answered(&self, method: &str) -> u64 {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.get(method).copied().unwrap_or_default()
    }

    /// Lets a user join or leave; false when that changes nothing.
    pub(crate) fn set_member(&self, channel: i64, user: i64, member: bool) -> bool {
        let mut world = self.world();
        let Some(channel) = world.channel_mut(channel) else {
            return false;
        };
        if member {
            channel.members.insert(user)
        } else {
            channel.members.remove(&user)
        }
    }

    /// Publishes a post and tells the members.
    pub(crate) fn post(&self, channel: i64, post: Post) -> Option<i32> {
        let id = self.world().channel_mut(channel)?.post(post);
        self.push(channel, &Change::Posted { id });
        Some(id)
    }

    /// Edits a post and tells the members.
    pub(crate) fn edit(&self, channel: i64, id: i32, text: &str) -> bool {
        let now = self.now();
        let mut world = self.world();
        let done = world
            .channel_mut(channel)
            .is_some_and(|channel| channel.edit(id, text, now));
        drop(world);
        if done {
            self.push(channel, &Change::Edited { id });
        }
        done
    }

    /// Deletes posts and tells the members; returns those that existed.
    pub(crate) fn delete(&self, channel: i64, ids: &[i32]) -> Vec<i32> {
        let mut world = self.world();
        let gone = world
            .channel_mut(channel)
            .map(|channel| channel.delete(ids))
            .unwrap_or_default();
        drop(world);
        if !gone.is_empty() {
            self.push(channel, &Change::Deleted { ids: gone.clone() });
        }
        gone
    }

    /// Sends a channel's newest change to the sessions of its members.
    fn push(&self, id: i64, change: &Change) {
        let world = self.world();
        let Some(channel) = world.channel(id) else {
            return;
        };
        let pts = channel.pts();
        let Some(mut update) = rpc::update(&world, channel, change, pts, self.file_epoch()) else {
            return;
        };
        let mut later = false;
        let mut malformed = false;
        match self.faults.strike(Point::Push, None) {
            Some(Fault::DropPush) => return,
            Some(Fault::Reorder) => later = true,
            Some(Fault::MalformedUpdate) => malformed = true,
            Some(Fault::TooLong { with_pts }) => {
                update = tl::types::UpdateChannelTooLong {
                    channel_id: id,
                    pts: with_pts.then_some(pts),
                }
                .into();
            }
            _ => {}
        }
        let members = channel.members.clone();
        let updates: tl::enums::Updates = tl::types::Updates {
            updates: vec![update],
            users: Vec::new(),
            chats: vec![objects::chat(channel, 0)],
            date: self.now(),
            seq: 0,
        }
        .into();
        drop(world);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if later {
            held.push(updates);
            return;
        }
        if malformed {
            self.sessions.push_malformed(&members);
        }
        self.sessions.push(&members, &updates);
        for updates in held.drain(..) {
            self.sessions.push(&members, &updates);
        }
    }
}
