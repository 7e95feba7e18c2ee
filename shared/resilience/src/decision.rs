//! Records of what the policies did, for whoever keeps a ledger of them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::Class;
use crate::time::Instant;

/// What a policy did to a request, or to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A quota denied the request (429).
    Denied,
    /// A policy refused the request before its upstream saw it (503).
    Rejected,
    /// The request was shed for want of capacity (503).
    Shed,
    /// Too little time was left, or none (504).
    Expired,
    /// An attempt failed and another one was made.
    Retried,
    /// An attempt failed, and the budget, the deadline or the request forbade another one.
    GaveUp,
    /// A second attempt was started while the first was late.
    Hedged,
    /// A breaker opened.
    Opened,
    /// A breaker let its probe through.
    Probed,
    /// A breaker closed.
    Closed,
    /// An answer poorer than what was asked for was given.
    Degraded,
    /// A quota fell back to this process because its store is away, or came back.
    FellBack,
}

impl Action {
    /// The name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Rejected => "rejected",
            Self::Shed => "shed",
            Self::Expired => "expired",
            Self::Retried => "retried",
            Self::GaveUp => "gave_up",
            Self::Hedged => "hedged",
            Self::Opened => "opened",
            Self::Probed => "probed",
            Self::Closed => "closed",
            Self::Degraded => "degraded",
            Self::FellBack => "fell_back",
        }
    }
}

/// One decision of one policy.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    /// When, on the clock of the process.
    pub at: Instant,
    /// Which policy, e.g. `breaker`, `retry`, `bulkhead`, `quota.minute`.
    pub policy: &'static str,
    /// Whom it protects: an upstream (`retrieval`, `retrieval@10.0.0.7:8004`) or the owner of a quota.
    pub target: Arc<str>,
    /// What it did.
    pub action: Action,
    /// Class of the request, where it was known.
    pub class: Option<Class>,
    /// What it saw, for people: `5 failures in a row`, `48 of 48 in flight`.
    pub state: Cow<'static, str>,
    /// How long the decision holds from `at` on, if that is known.
    pub holds_for: Option<Duration>,
    /// Id of the request, where there is one.
    pub request_id: Option<Arc<str>>,
}

impl Decision {
    /// A decision without class, duration or request.
    pub fn new(
        at: Instant,
        policy: &'static str,
        target: Arc<str>,
        action: Action,
        state: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            at,
            policy,
            target,
            action,
            class: None,
            state: state.into(),
            holds_for: None,
            request_id: None,
        }
    }

    /// With the class of the request.
    pub fn class(self, class: Class) -> Self {
        Self {
            class: Some(class),
            ..self
        }
    }

    /// With the time that it holds.
    pub fn holds_for(self, holds_for: Duration) -> Self {
        Self {
            holds_for: Some(holds_for),
            ..self
        }
    }

    /// With the id of the request.
    pub fn request_id(self, request_id: Option<Arc<str>>) -> Self {
        Self { request_id, ..self }
    }
}

/// Hears every decision. Called on the path of requests: it must not block.
pub trait Observer: Send + Sync + fmt::Debug + 'static {
    /// A policy decided.
    fn decided(&self, decision: Decision);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn decided(&self, _: Decision) {}
}
