//! Bulkhead: a bounded number of calls at once, a short bounded queue, and classes.
//!
//! A class may use a share of the places; what does not fit waits in a queue that is short in
//! number and in time. When the queue is full, the lowest class that waits is shed first, its
//! latest arrival before the earlier ones. A place that becomes free goes to the highest class,
//! its earliest arrival first.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Class;
use crate::time::Instant;

const CLASSES: usize = Class::ALL.len();

/// Sizes of a bulkhead.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Calls at once.
    pub most: u32,
    /// Share of those that each class may use, lowest class first.
    pub shares: [f64; CLASSES],
    /// Calls that may wait.
    pub queue: u32,
    /// Longest wait.
    #[serde(with = "humantime_serde")]
    pub wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            most: 256,
            shares: [0.5, 0.8, 0.95, 1.0],
            queue: 64,
            wait: Duration::from_millis(100),
        }
    }
}

/// A call that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// The answer for one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It has a place until [`Bulkhead::depart`].
    Admitted,
    /// It waits, at most until `until`.
    Queued {
        /// Its name in the queue.
        ticket: Ticket,
        /// When to call [`Bulkhead::leave_queue`] and give up.
        until: Instant,
        /// A call of a lower class that had to make room: it is shed.
        evicted: Option<Ticket>,
    },
    /// There is no room.
    Shed,
}

/// A bulkhead as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Calls that may be under way.
    pub limit: u32,
    /// Calls that are, by class.
    pub in_flight: [u32; CLASSES],
    /// Calls that wait, by class.
    pub queued: [u32; CLASSES],
    /// Calls that were shed, by class.
    pub shed_total: [u64; CLASSES],
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    ticket: Ticket,
    until: Instant,
}

/// The places of one upstream.
#[derive(Clone, Debug)]
pub struct Bulkhead {
    config: Config,
    limit: u32,
    in_flight: [u32; CLASSES],
    queues: [VecDeque<Waiting>; CLASSES],
    shed: [u64; CLASSES],
    next_ticket: u64,
}

impl Bulkhead {
    /// Every place is free.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            limit: config.most,
            in_flight: [0; CLASSES],
            queues: Default::default(),
            shed: [0; CLASSES],
            next_ticket: 0,
        }
    }

    /// A call wants a place.
    pub fn arrive(&mut self, now: Instant, class: Class) -> Arrival {
        let nobody_before = self.queues[class.index()..].iter().all(VecDeque::is_empty);
        if nobody_before && self.fits(class) {
            self.in_flight[class.index()] += 1;
            return Arrival::Admitted;
        }
        let mut evicted = None;
        if self.queued() >= self.config.queue as usize {
            evicted = self.evict_below(class);
            if evicted.is_none() {
                self.shed[class.index()] += 1;
                return Arrival::Shed;
            }
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let until = now + self.config.wait;
        self.queues[class.index()].push_back(Waiting { ticket, until });
        Arrival::Queued {
            ticket,
            until,
            evicted,
        }
    }

    /// A call is done; then ask [`Bulkhead::grant`] until it has nothing more.
    pub fn depart(&mut self, class: Class) {
        let in_flight = &mut self.in_flight[class.index()];
        debug_assert!(*in_flight > 0, "a call departs that never was admitted");
        *in_flight = in_flight.saturating_sub(1);
    }

    /// Gives a free place to a call that waits. Calls that waited too long are passed over; they
    /// leave by themselves.
    pub fn grant(&mut self, now: Instant) -> Option<(Ticket, Class)> {
        for class in Class::ALL.into_iter().rev() {
            if !self.fits(class) {
                continue;
            }
            let queue = &mut self.queues[class.index()];
            let waiting = queue.iter().position(|waiting| now <= waiting.until);
            if let Some(waiting) = waiting.and_then(|at| queue.remove(at)) {
                self.in_flight[class.index()] += 1;
                return Some((waiting.ticket, class));
            }
        }
        None
    }

    /// A call gives up waiting; `false` when it no longer waited.
    pub fn leave_queue(&mut self, ticket: Ticket, shed: bool) -> bool {
        for (class, queue) in self.queues.iter_mut().enumerate() {
            if let Some(at) = queue.iter().position(|waiting| waiting.ticket == ticket) {
                queue.remove(at);
                self.shed[class] += u64::from(shed);
                return true;
            }
        }
        false
    }

    /// Changes how many calls may be under way; never above what the bulkhead was made for. Then
    /// ask [`Bulkhead::grant`] until it has nothing more.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit.clamp(1, self.config.most);
    }

    /// Calls under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.iter().sum()
    }

    /// Calls that wait.
    pub fn queued(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    /// The bulkhead as it is now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            limit: self.limit,
            in_flight: self.in_flight,
            queued: self.queues.each_ref().map(|queue| queue.len() as u32),
            shed_total: self.shed,
        }
    }

    fn fits(&self, class: Class) -> bool {
        let share = f64::from(self.limit) * self.config.shares[class.index()];
        let own = (share.ceil() as u32).max(1);
        self.in_flight() < self.limit && self.in_flight[class.index()] < own
    }

    fn evict_below(&mut self, class: Class) -> Option<Ticket> {
        let lower = 0..class.index();
        let (at, queue) = self.queues[lower]
            .iter_mut()
            .enumerate()
            .find(|(_, queue)| !queue.is_empty())?;
        self.shed[at] += 1;
        queue.pop_back().map(|waiting| waiting.ticket)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn small(most: u32, queue: u32) -> Bulkhead {
        Bulkhead::new(Config {
            most,
            queue,
            ..Config::default()
        })
    }

    fn ticket(arrival: Arrival) -> Ticket {
        match arrival {
            Arrival::Queued { ticket, .. } => ticket,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn classes_use_their_share_and_the_rest_waits() {
        let mut bulkhead = small(4, 1);
        assert_eq!(bulkhead.arrive(at(0), Class::Batch), Arrival::Admitted);
        assert_eq!(bulkhead.arrive(at(0), Class::Batch), Arrival::Admitted);
        let waiting = bulkhead.arrive(at(0), Class::Batch);
        assert_eq!(
            waiting,
            Arrival::Queued {
                ticket: Ticket(0),
                until: at(100),
                evicted: None
            }
        );
        assert_eq!(bulkhead.arrive(at(0), Class::Batch), Arrival::Shed);
        // The places that are left are for the higher classes.
        assert_eq!(bulkhead.arrive(at(0), Class::Critical), Arrival::Admitted);
        assert_eq!(
            bulkhead.arrive(at(0), Class::Interactive),
            Arrival::Admitted
        );
        assert_eq!(bulkhead.snapshot().in_flight, [2, 0, 1, 1]);
        assert_eq!(bulkhead.snapshot().shed_total, [1, 0, 0, 0]);
    }

    #[test]
    fn the_lowest_class_that_waits_longest_behind_is_shed_first() {
        let mut bulkhead = small(1, 2);
        assert_eq!(bulkhead.arrive(at(0), Class::Critical), Arrival::Admitted);
        let early = ticket(bulkhead.arrive(at(1), Class::Batch));
        let late = ticket(bulkhead.arrive(at(2), Class::Batch));
        let evicted = |arrival| match arrival {
            Arrival::Queued { evicted, .. } => evicted,
            other => panic!("{other:?}"),
        };
        assert_eq!(evicted(bulkhead.arrive(at(3), Class::Stream)), Some(late));
        assert_eq!(
            evicted(bulkhead.arrive(at(4), Class::Interactive)),
            Some(early)
        );
        assert_eq!(bulkhead.arrive(at(5), Class::Stream), Arrival::Shed);
        assert_eq!(bulkhead.arrive(at(5), Class::Batch), Arrival::Shed);
        bulkhead.depart(Class::Critical);
        assert_eq!(bulkhead.grant(at(6)).unwrap().1, Class::Interactive);
        assert_eq!(bulkhead.grant(at(6)), None);
        bulkhead.depart(Class::Interactive);
        assert_eq!(bulkhead.grant(at(7)).unwrap().1, Class::Stream);
    }

    #[test]
    fn waiting_ends_after_its_time_and_by_leaving() {
        let mut bulkhead = small(1, 8);
        bulkhead.arrive(at(0), Class::Interactive);
        let first = ticket(bulkhead.arrive(at(0), Class::Interactive));
        let second = ticket(bulkhead.arrive(at(50), Class::Interactive));
        let third = ticket(bulkhead.arrive(at(60), Class::Interactive));
        assert!(bulkhead.leave_queue(second, false));
        bulkhead.depart(Class::Interactive);
        assert_eq!(bulkhead.grant(at(101)), Some((third, Class::Interactive)));
        assert!(bulkhead.leave_queue(first, true));
        assert!(!bulkhead.leave_queue(first, true));
        assert_eq!(bulkhead.snapshot().shed_total, [0, 0, 1, 0]);
    }

    #[test]
    fn a_lower_limit_lets_calls_end_and_a_higher_one_grants() {
        let mut bulkhead = small(10, 8);
        for _ in 0..8 {
            assert_eq!(bulkhead.arrive(at(0), Class::Critical), Arrival::Admitted);
        }
        bulkhead.set_limit(4);
        let waiting = ticket(bulkhead.arrive(at(0), Class::Critical));
        for _ in 0..4 {
            bulkhead.depart(Class::Critical);
            assert_eq!(bulkhead.grant(at(1)), None);
        }
        bulkhead.depart(Class::Critical);
        assert_eq!(bulkhead.grant(at(1)), Some((waiting, Class::Critical)));
        bulkhead.set_limit(1000);
        assert_eq!(bulkhead.snapshot().limit, 10);
    }

    #[derive(Clone, Debug)]
    enum Event {
        Arrive(Class),
        Depart(usize),
        Leave(usize),
        Limit(u32),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            4 => prop::sample::select(&Class::ALL[..]).prop_map(Event::Arrive),
            3 => (0usize..100).prop_map(Event::Depart),
            1 => (0usize..100).prop_map(Event::Leave),
            1 => (1u32..12).prop_map(Event::Limit),
        ];
        prop::collection::vec(event, 1..400)
    }

    proptest! {
        /// A plain list of calls is the oracle.
        #[test]
        fn places_and_queue_stay_bounded_and_nobody_waits_without_need(events in events()) {
            let (most, queue) = (8, 5);
            let mut bulkhead = small(most, queue);
            let (mut placed, mut waiting): (Vec<Class>, Vec<(Ticket, Class)>) = Default::default();
            for (millis, event) in (0..).zip(events) {
                let now = at(millis / 4);
                match event {
                    Event::Arrive(class) => match bulkhead.arrive(now, class) {
                        Arrival::Admitted => placed.push(class),
                        Arrival::Queued { ticket, evicted, .. } => {
                            if let Some(evicted) = evicted {
                                let at = waiting.iter().position(|(t, _)| *t == evicted).unwrap();
                                let (_, lost) = waiting.remove(at);
                                prop_assert!(lost < class);
                                prop_assert!(waiting.iter().all(|(_, other)| *other >= lost));
                            }
                            waiting.push((ticket, class));
                        }
                        Arrival::Shed => {
                            prop_assert_eq!(waiting.len(), queue as usize);
                            prop_assert!(waiting.iter().all(|(_, other)| *other >= class));
                        }
                    },
                    Event::Depart(n) if !placed.is_empty() => {
                        let class = placed.swap_remove(n % placed.len());
                        bulkhead.depart(class);
                    }
                    Event::Leave(n) if !waiting.is_empty() => {
                        let (ticket, _) = waiting.remove(n % waiting.len());
                        prop_assert!(bulkhead.leave_queue(ticket, false));
                    }
                    Event::Limit(limit) => bulkhead.set_limit(limit),
                    _ => {}
                }
                while let Some((ticket, class)) = bulkhead.grant(now) {
                    let at = waiting.iter().position(|(t, _)| *t == ticket).unwrap();
                    let first = waiting.iter().position(|(_, other)| *other == class).unwrap();
                    prop_assert_eq!(at, first, "the earliest of its class");
                    waiting.remove(at);
                    placed.push(class);
                    prop_assert!(bulkhead.in_flight() <= bulkhead.snapshot().limit);
                }
                prop_assert_eq!(bulkhead.in_flight() as usize, placed.len());
                prop_assert_eq!(bulkhead.queued(), waiting.len());
                prop_assert!(placed.len() <= most as usize && waiting.len() <= queue as usize);
                let idle = placed.len() < bulkhead.snapshot().limit as usize;
                let critical = waiting.iter().any(|(_, class)| *class == Class::Critical);
                prop_assert!(!(idle && critical), "a free place and somebody who may have it");
            }
        }
    }
}
