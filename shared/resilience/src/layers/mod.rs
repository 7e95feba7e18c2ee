//! Thin tower layers around the policies, for HTTP requests with streaming bodies.
//!
//! From the outside in: [`Deadlined`] > [`Bulkheaded`] > [`Hedged`] > [`Retried`] > [`Balanced`] >
//! the transport. All of them are always ready: they answer at once with an error instead of
//! queueing where no deadline sees it. Every future has a name, and only second attempts are boxed,
//! which hardly any call has. Dropping a future
//! or a body cancels the call, and is not held against the upstream.
//!
//! Errors of a stack are the transport's own; a policy adds its own through `From<Rejected>`.

mod attempt;
mod balance;
mod bulkhead;
mod deadline;
mod guarded;
mod hedge;
mod retry;

pub use attempt::Connected;
pub use balance::{Balanced, BalancedFuture};
pub use bulkhead::{Bulkheaded, BulkheadedFuture, Held, Place, Places};
pub use deadline::{Deadlined, DeadlinedFuture};
pub use guarded::{Guarded, GuardedFuture, Watched};
pub use hedge::{Hedged, HedgedFuture};
pub use retry::{Retried, RetriedFuture};

use std::sync::{Arc, Mutex, PoisonError};

use http::Request;
use touchstone_api::headers::REQUEST_ID;

use crate::Rejected;
use crate::upstream::Instance;

/// When the answer is worthless: an extension of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub tokio::time::Instant);

/// When the policy ends one attempt: an extension of requests.
#[derive(Clone, Copy, Debug)]
struct AttemptTimeout(tokio::time::Instant);

/// The request may be repeated although its method does not say so: an extension of requests that
/// only read, e.g. a search by `POST`.
#[derive(Clone, Copy, Debug)]
pub struct Repeatable;

/// The request only reads and is worth a second attempt when it is late, e.g. a search by `POST`: an
/// extension of requests.
#[derive(Clone, Copy, Debug)]
pub struct Hedgeable;

/// Where other attempts of the same call went: an extension of requests.
#[derive(Clone, Debug, Default)]
struct Tried(Arc<Mutex<Vec<Arc<Instance>>>>);

impl Tried {
    fn add(&self, instance: &Arc<Instance>) {
        let mut tried = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tried.push(Arc::clone(instance));
    }

    fn has(&self, instance: &Arc<Instance>) -> bool {
        let tried = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tried.iter().any(|one| Arc::ptr_eq(one, instance))
    }
}

/// How many attempts an answer took: an extension of responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts(pub u32);

/// What the layers must know of a transport's errors.
pub trait CallError: From<Rejected> {
    /// The policy that ended the call, if one did.
    fn rejected(&self) -> Option<&Rejected>;

    /// Whether the upstream saw nothing of the request, e.g. because no connection was made.
    fn never_sent(&self) -> bool;

    /// Whether the caller broke off its own request, which says nothing of the upstream.
    fn broken_off_by_caller(&self) -> bool {
        false
    }
}

impl CallError for Rejected {
    fn rejected(&self) -> Option<&Rejected> {
        Some(self)
    }

    fn never_sent(&self) -> bool {
        Rejected::never_sent(self)
    }
}

/// The stack of all layers around `S`.
pub type Stack<S> = Deadlined<Bulkheaded<Hedged<Retried<Balanced<S>>>>>;

/// Puts all layers around a balanced transport.
pub fn stack<S>(balanced: Balanced<S>) -> Stack<S> {
    let upstream = balanced.upstream().clone();
    let retried = Retried::new(upstream.clone(), balanced);
    let hedged = Hedged::new(upstream.clone(), retried);
    let bulkheaded = Bulkheaded::new(upstream.clone(), hedged);
    Deadlined::new(upstream, bulkheaded)
}

fn request_id<B>(request: &Request<B>) -> Option<Arc<str>> {
    let value = request.headers().get(REQUEST_ID)?;
    value.to_str().ok().map(Arc::from)
}
