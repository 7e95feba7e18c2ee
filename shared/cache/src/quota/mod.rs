//! Quotas: how much a subject may spend in several windows at once.
//!
//! A [`Policy`] is what a request is held to: rules, each with its windows, all of which admit the
//! request or none is charged. Two algorithms are built in, both from `touchstone-resilience`:
//! strict windows, which never admit more than N in any trailing period, and GCRA, which admits a
//! burst besides. Stores differ in who counts: this process ([`MemoryQuotas`]) or a Redis server that
//! several replicas share ([`RedisQuotas`]), which goes on with a share of each limit while the
//! server is away.

mod book;
mod memory;
mod mirror;
mod policy;
mod replay;
mod script;
mod shared;

pub use memory::MemoryQuotas;
pub use policy::{Algorithm, Away, Policy, Rule, Window};
pub use shared::{Counts, RedisQuotas, SharedOptions};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use touchstone_lifecycle::Lifecycle;
use touchstone_resilience::Instant;
pub use touchstone_resilience::gcra::{Standing, Verdict};

use crate::redis::Connection;

/// Who counts at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// This process, as configured.
    Memory,
    /// The shared server.
    Shared,
    /// This process, with its share of each limit, because the server is away.
    Share,
}

impl Mode {
    /// The name in logs, metrics and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Shared => "shared",
            Self::Share => "share",
        }
    }
}

/// Where a decision came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// The memory of this process, which counts alone.
    Memory,
    /// The shared server.
    Server,
    /// Units that were charged at the server in advance.
    Lease,
    /// A denial that the server gave before and that still holds.
    Remembered,
    /// This replica's share, because the server is away.
    Share,
}

/// The answer to a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it passed; positions count the windows of all rules, in order.
    pub verdict: Verdict,
    /// Where the subject stands in each window afterwards.
    pub standings: Arc<[Standing]>,
    /// Where the decision came from.
    pub tier: Tier,
    /// What a refund needs; absent when nothing was charged.
    pub receipt: Option<Receipt>,
}

/// When, and on whose clock, something was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// On the clock of this process.
    here: Instant,
    /// On the server's, if it was charged there.
    there: Option<Instant>,
}

/// The policy asks to refuse while the server is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quotas cannot be counted at the moment")]
pub struct Closed {
    /// When to come back.
    pub retry_after: Duration,
}

/// A store of quotas. It decides always: no error of a backend reaches the caller.
#[async_trait]
pub trait QuotaStore: Send + Sync + fmt::Debug + 'static {
    /// Charges `cost` units to all windows of the policy, or denies and charges none.
    ///
    /// # Errors
    /// [`Closed`] when the policy says [`Away::Closed`] and the backend is away.
    async fn charge(&self, subject: &str, policy: &Policy, cost: u64) -> Result<Decision, Closed>;

    /// Gives back units of an earlier charge, as far as that never lifts a bound.
    async fn refund(&self, subject: &str, policy: &Policy, receipt: Receipt, units: u64);

    /// Where the subject stands; charges nothing.
    async fn standings(&self, subject: &str, policy: &Policy) -> Arc<[Standing]>;

    /// Who counts.
    fn mode(&self) -> watch::Receiver<Mode>;

    /// Replicas that share the limits, as far as known.
    fn replicas(&self) -> u64 {
        1
    }

    /// Forgets leases and denials that were taken under limits that do not hold any more.
    fn limits_changed(&self) {}
}

/// Opens the store that the URI names: `memory://` or `redis://…`.
///
/// # Errors
/// [`crate::Error`] when the URI cannot be read.
pub fn open(
    uri: &str,
    options: SharedOptions,
    life: &Lifecycle,
) -> Result<Arc<dyn QuotaStore>, crate::Error> {
    if uri.starts_with("memory://") {
        return Ok(Arc::new(MemoryQuotas::new(options.subjects)));
    }
    if !crate::is_redis(uri) {
        return Err(crate::Error::Uri(crate::scheme_of(uri)));
    }
    Ok(RedisQuotas::start(Connection::open(uri)?, options, life))
}
