use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::Class;
use crate::bulkhead::{self, Arrival, Bulkhead, Ticket};
use crate::layers::Deadline;
use crate::limit::{self, Limit, Sample};
use crate::time::{Instant, Monotonic};

/// The places of an upstream: a bulkhead, and an adaptive limit inside of it.
#[derive(Clone)]
pub struct Places {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Monotonic,
    /// Held for a few steps of arithmetic, never while anything is awaited or woken.
    state: Mutex<State>,
}

struct State {
    bulkhead: Bulkhead,
    limit: Option<Limit>,
    waiting: HashMap<Ticket, oneshot::Sender<Place>>,
}

/// How a call was let in.
pub(super) enum Entry {
    Place(Place),
    Waiting(Waiting),
    Full,
}

/// Places that were granted, to be handed over without the lock.
type Grants = Vec<(oneshot::Sender<Place>, Place)>;

impl Places {
    /// Every place is free.
    pub fn new(config: bulkhead::Config, limit: Option<limit::Config>, clock: Monotonic) -> Self {
        let mut bulkhead = Bulkhead::new(config);
        let limit = limit.map(|limit| {
            Limit::new(limit::Config {
                most: limit.most.min(config.most),
                least: limit.least.min(config.most),
                ..limit
            })
        });
        if let Some(limit) = &limit {
            bulkhead.set_limit(limit.limit());
        }
        let state = State {
            bulkhead,
            limit,
            waiting: HashMap::new(),
        };
        Self {
            shared: Arc::new(Shared {
                clock,
                state: Mutex::new(state),
            }),
        }
    }

    /// A place, if one is free now and nobody waits for it.
    pub fn try_enter(&self, class: Class) -> Option<Place> {
        match self.enter(class) {
            Entry::Place(place) => Some(place),
            Entry::Waiting(waiting) => waiting.give_up(),
            Entry::Full => None,
        }
    }

    pub(super) fn enter(&self, class: Class) -> Entry {
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        match state.bulkhead.arrive(now, class) {
            Arrival::Admitted => {
                let in_flight = state.bulkhead.in_flight();
                drop(state);
                Entry::Place(Shared::place(&self.shared, class, now, in_flight))
            }
            Arrival::Queued {
                ticket,
                until,
                evicted,
            } => {
                let (sender, receiver) = oneshot::channel();
                state.waiting.insert(ticket, sender);
                // Its receiver learns from the dropped sender that it is shed.
                let evicted = evicted.and_then(|evicted| state.waiting.remove(&evicted));
                drop(state);
                drop(evicted);
                Entry::Waiting(Waiting {
                    shared: Arc::clone(&self.shared),
                    ticket,
                    receiver,
                    until,
                    is_over: false,
                })
            }
            Arrival::Shed => Entry::Full,
        }
    }

    /// The bulkhead and the limit as they are now.
    pub fn snapshot(&self) -> (bulkhead::Snapshot, Option<limit::Snapshot>) {
        let state = self.shared.lock();
        let limit = state.limit.as_ref().map(Limit::snapshot);
        (state.bulkhead.snapshot(), limit)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(shared: &Arc<Self>, class: Class, now: Instant, in_flight: u32) -> Place {
        Place {
            shared: Arc::clone(shared),
            class,
            since: now,
            in_flight,
            deadline: None,
            is_sampled: false,
        }
    }

    fn grants(shared: &Arc<Self>, state: &mut State) -> Grants {
        let now = shared.clock.now();
        let mut grants = Vec::new();
        while let Some((ticket, class)) = state.bulkhead.grant(now) {
            let in_flight = state.bulkhead.in_flight();
            if let Some(sender) = state.waiting.remove(&ticket) {
                let place = Self::place(shared, class, now, in_flight);
                grants.push((sender, place));
            } else {
                debug_assert!(false, "everybody in the queue has a sender");
                state.bulkhead.depart(class);
            }
        }
        grants
    }
}

/// Hands places over; one that nobody takes is freed by being dropped, which may grant it again.
fn hand_over(grants: Grants) {
    for (sender, place) in grants {
        drop(sender.send(place));
    }
}

/// A call's place; free again when dropped.
pub struct Place {
    shared: Arc<Shared>,
    class: Class,
    since: Instant,
    in_flight: u32,
    /// Whoever leaves after it did not leave by choice.
    deadline: Option<Instant>,
    is_sampled: bool,
}

impl Place {
    pub(super) fn until(&mut self, deadline: Option<Deadline>) {
        self.deadline = deadline.map(|deadline| self.shared.clock.at(deadline.0));
    }

    /// Tells the adaptive limit that the first frame of the answer came now.
    pub fn first_frame(&mut self) {
        let took = self.shared.clock.now().since(self.since);
        self.sample(Sample::FirstFrame(took));
    }

    /// Tells the adaptive limit how the call went.
    pub fn sample(&mut self, sample: Sample) {
        self.is_sampled = true;
        if sample == Sample::Nothing {
            return;
        }
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        let Some(limit) = &mut state.limit else {
            return;
        };
        limit.sample(now, self.in_flight, sample);
        let limit = limit.limit();
        state.bulkhead.set_limit(limit);
        let grants = Shared::grants(&self.shared, &mut state);
        drop(state);
        hand_over(grants);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = self.shared.clock.now();
        if !self.is_sampled && self.deadline.is_some_and(|deadline| now >= deadline) {
            self.sample(Sample::Refused);
        }
        let mut state = self.shared.lock();
        state.bulkhead.depart(self.class);
        let grants = Shared::grants(&self.shared, &mut state);
        drop(state);
        hand_over(grants);
    }
}

/// A call in the queue; leaves it when dropped.
pub(super) struct Waiting {
    shared: Arc<Shared>,
    ticket: Ticket,
    receiver: oneshot::Receiver<Place>,
    until: Instant,
    is_over: bool,
}

impl Waiting {
    /// Longest wait from now on.
    pub fn left(&self) -> Duration {
        self.until.since(self.shared.clock.now())
    }

    /// The place, or `None` when the call had to make room.
    pub fn poll_place(&mut self, context: &mut Context<'_>) -> Poll<Option<Place>> {
        let place = Pin::new(&mut self.receiver).poll(context);
        place.map(|place| {
            self.is_over = true;
            place.ok()
        })
    }

    /// Waits no longer; the place, if it came meanwhile.
    pub fn give_up(mut self) -> Option<Place> {
        self.leave(true);
        self.receiver.try_recv().ok()
    }

    fn leave(&mut self, shed: bool) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let mut state = self.shared.lock();
        state.bulkhead.leave_queue(self.ticket, shed);
        let sender = state.waiting.remove(&self.ticket);
        drop(state);
        drop(sender);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // A place that was already sent is freed with the receiver.
        self.leave(false);
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Places").field(&self.snapshot().0).finish()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.class).finish()
    }
}
