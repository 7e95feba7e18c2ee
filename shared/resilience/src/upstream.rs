//! Everything that is known about one upstream, shared by the layers around its calls.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::breaker::{self, Breaker};
use crate::budget::{self, Budget};
use crate::decision::{Decision, Observer};
use crate::ewma::{self, Load};
use crate::hedge::{self, Hedge};
use crate::latency::Latency;
use crate::layers::Places;
use crate::random::Draws;
use crate::time::{Instant, Monotonic};
use crate::{bulkhead, limit, stream};

/// Targets that are told apart; what comes after them has no latency of its own.
const TARGETS_MOST: usize = 64;

/// How calls of one upstream are protected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Breaker of each instance.
    pub breaker: breaker::Config,
    /// Attempts.
    pub retry: Retry,
    /// Places for calls under way.
    pub bulkhead: bulkhead::Config,
    /// Adaptive limit of calls under way, inside of the bulkhead; none if absent.
    pub limit: Option<limit::Config>,
    /// Second attempts.
    pub hedge: hedge::Config,
    /// Choice among instances.
    pub balance: ewma::Config,
    /// What is slow.
    pub stream: stream::Config,
    /// A call that timed out sooner says nothing about the upstream: its caller was in a hurry.
    #[serde(with = "humantime_serde")]
    pub patience: Duration,
    /// Where draws start.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            breaker: breaker::Config::default(),
            retry: Retry::default(),
            bulkhead: bulkhead::Config::default(),
            limit: None,
            hedge: hedge::Config::default(),
            balance: ewma::Config::default(),
            stream: stream::Config::default(),
            patience: Duration::from_secs(1),
            seed: 0,
        }
    }
}

/// How often and how long a call is tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Attempts of a call, the first one included; 1 turns retries off.
    pub attempts: u32,
    /// Longest wait for the head of one attempt's answer; only the deadline if absent.
    #[serde(with = "humantime_serde")]
    pub attempt_timeout: Option<Duration>,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Retries in proportion to calls.
    pub budget: budget::Config,
    /// Largest body that is kept for another attempt, in bytes.
    pub body_most: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            attempt_timeout: None,
            backoff: Backoff::default(),
            budget: budget::Config::default(),
            body_most: 64 * 1024,
        }
    }
}

/// One upstream: its policies and what they know. Clones are handles of the same one.
#[derive(Clone)]
pub struct Upstream {
    inner: Arc<Inner>,
}

struct Inner {
    name: Arc<str>,
    config: Config,
    clock: Monotonic,
    observer: Arc<dyn Observer>,
    budget: Budget,
    hedge: Hedge,
    places: Places,
    draws: Draws,
    /// Time to first frame by target (method and first segment of the path).
    latencies: RwLock<HashMap<u64, Arc<Latency>>>,
    hasher: RandomState,
    instances: AtomicUsize,
    is_local: AtomicBool,
}

/// One instance of an upstream: its breaker and its load.
#[derive(Debug)]
pub struct Instance {
    /// `upstream`, or `upstream@host:port`.
    pub name: Arc<str>,
    /// Whether it is asked.
    pub breaker: Breaker,
    /// How much it has to do.
    pub load: Arc<Load>,
}

/// An upstream as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Its name.
    pub name: Arc<str>,
    /// Retries that are left.
    pub retries_left: f64,
    /// Retries that the budget refused.
    pub retries_refused: u64,
    /// Calls under way and waiting.
    pub bulkhead: bulkhead::Snapshot,
    /// The adaptive limit, if there is one.
    pub limit: Option<limit::Snapshot>,
}

/// An instance as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct InstanceSnapshot {
    /// Its name.
    pub name: Arc<str>,
    /// Its breaker.
    pub breaker: breaker::Snapshot,
    /// Calls under way.
    pub pending: u32,
    /// Expected time to first frame, in milliseconds.
    pub expected_ms: f64,
}

impl Upstream {
    /// An upstream of which nothing is known.
    pub fn new(
        name: impl Into<Arc<str>>,
        config: Config,
        clock: Monotonic,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let inner = Inner {
            name: name.into(),
            config,
            clock,
            observer,
            budget: Budget::new(config.retry.budget),
            hedge: Hedge::new(config.hedge),
            places: Places::new(config.bulkhead, config.limit, clock),
            draws: Draws::new(config.seed),
            latencies: RwLock::default(),
            hasher: RandomState::new(),
            instances: AtomicUsize::new(1),
            is_local: AtomicBool::new(false),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Its name.
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.inner.name)
    }

    /// How its calls are protected.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The present instant.
    pub fn now(&self) -> Instant {
        self.inner.clock.now()
    }

    /// The clock of its policies.
    pub fn clock(&self) -> Monotonic {
        self.inner.clock
    }

    /// Retries in proportion to calls.
    pub fn budget(&self) -> &Budget {
        &self.inner.budget
    }

    /// Second attempts.
    pub fn hedge(&self) -> &Hedge {
        &self.inner.hedge
    }

    /// Places for calls under way.
    pub fn places(&self) -> &Places {
        &self.inner.places
    }

    /// Its draws.
    pub fn draws(&self) -> &Draws {
        &self.inner.draws
    }

    /// Tells the observer.
    pub fn tell(&self, decision: Decision) {
        self.inner.observer.decided(decision);
    }

    /// A new instance; `at` tells it from the others, e.g. `host:port`.
    pub fn instance(&self, at: Option<&str>) -> Arc<Instance> {
        let name = match at {
            Some(at) => format!("{}@{at}", self.inner.name).into(),
            None => self.name(),
        };
        let config = &self.inner.config;
        let breaker = breaker::Config {
            // Instances that fail together must not be probed together.
            seed: config.breaker.seed ^ self.inner.draws.bits(),
            ..config.breaker
        };
        Arc::new(Instance {
            name,
            breaker: Breaker::new(breaker),
            load: Load::new(config.balance, self.now()),
        })
    }

    /// Times to first frame of what a request asks for: by method and first segment of the path.
    pub fn latency(&self, method: &Method, path: &str) -> Option<Arc<Latency>> {
        let segment = path.trim_start_matches('/').split('/').next();
        let target = self.inner.hasher.hash_one((method, segment));
        let known = self
            .inner
            .latencies
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(latency) = known.get(&target) {
            return Some(Arc::clone(latency));
        }
        let is_full = known.len() >= TARGETS_MOST;
        drop(known);
        if is_full {
            return None;
        }
        let mut known = self
            .inner
            .latencies
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(known.entry(target).or_default()))
    }

    /// Whether another attempt may find another instance.
    pub fn has_alternatives(&self) -> bool {
        self.inner.instances.load(Ordering::Relaxed) > 1
    }

    /// Whether it is in this process: a second attempt would be given to the same processors.
    pub fn is_local(&self) -> bool {
        self.inner.is_local.load(Ordering::Relaxed)
    }

    pub(crate) fn set_local(&self) {
        self.inner.is_local.store(true, Ordering::Relaxed);
    }

    pub(crate) fn set_instances(&self, count: usize) {
        self.inner.instances.store(count, Ordering::Relaxed);
    }

    /// The upstream as it is now; its instances are known to its balance.
    pub fn snapshot(&self) -> Snapshot {
        let (bulkhead, limit) = self.inner.places.snapshot();
        Snapshot {
            name: self.name(),
            retries_left: self.inner.budget.balance(self.now()),
            retries_refused: self.inner.budget.refused(),
            bulkhead,
            limit,
        }
    }
}

impl Instance {
    /// The instance as it is now.
    pub fn snapshot(&self, now: Instant) -> InstanceSnapshot {
        InstanceSnapshot {
            name: Arc::clone(&self.name),
            breaker: self.breaker.snapshot(now),
            pending: self.load.pending(),
            expected_ms: self.load.expected(now).as_secs_f64() * 1e3,
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upstream").field(&self.inner.name).finish()
    }
}
