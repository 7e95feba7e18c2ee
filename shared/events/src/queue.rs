//! Events of a group in this process: in order per key, one of a key at a time.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Semaphore;
use touchstone_api::events::Event;

use crate::{Acknowledge, Delivery, Error, EventSource};

/// What an event holds until it is acknowledged.
pub trait Ticket: Send + fmt::Debug + 'static {
    /// The event is done.
    fn done(self);

    /// Whether the event is somebody else's by now.
    fn is_stale(&self) -> bool {
        false
    }
}

/// The queue of one group on one topic.
#[derive(Debug)]
pub struct KeyQueue<T> {
    keys: Mutex<Keys<T>>,
    /// One permit per key that may be worked on now.
    ready: Semaphore,
}

#[derive(Debug)]
struct Keys<T> {
    /// Keys that nobody works on; their events may have been taken back meanwhile.
    ready: VecDeque<String>,
    /// Events by key. A key is here while it has events, waiting or being worked on.
    waiting: HashMap<String, VecDeque<Item<T>>>,
    /// Events in `waiting`.
    length: usize,
}

#[derive(Debug)]
struct Item<T> {
    event: Arc<Event>,
    attempt: u32,
    ticket: T,
}

impl<T: Ticket> KeyQueue<T> {
    pub fn new() -> Self {
        Self {
            keys: Mutex::new(Keys {
                ready: VecDeque::new(),
                waiting: HashMap::new(),
                length: 0,
            }),
            ready: Semaphore::new(0),
        }
    }

    fn keys(&self) -> MutexGuard<'_, Keys<T>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an event behind those of its key.
    pub fn push(&self, event: Arc<Event>, ticket: T) {
        let key = event.key.clone();
        let item = Item {
            event,
            attempt: 0,
            ticket,
        };
        let mut keys = self.keys();
        keys.length += 1;
        match keys.waiting.get_mut(&key) {
            Some(queue) => queue.push_back(item),
            None => {
                keys.waiting.insert(key.clone(), VecDeque::from([item]));
                self.make_ready(&mut keys, key);
            }
        }
    }

    /// Events that wait.
    pub fn len(&self) -> usize {
        self.keys().length
    }

    /// Forgets waiting events that are somebody else's.
    pub fn forget_stale(&self) {
        let mut keys = self.keys();
        let mut left = 0;
        for queue in keys.waiting.values_mut() {
            queue.retain(|item| !item.ticket.is_stale());
            left += queue.len();
        }
        keys.length = left;
    }

    fn make_ready(&self, keys: &mut Keys<T>, key: String) {
        keys.ready.push_back(key);
        self.ready.add_permits(1);
    }

    fn take(&self) -> Option<Item<T>> {
        let mut keys = self.keys();
        let key = keys.ready.pop_front()?;
        let item = keys.waiting.get_mut(&key)?.pop_front();
        if item.is_some() {
            keys.length -= 1;
        } else {
            keys.waiting.remove(&key);
        }
        item
    }

    /// Ends the work on a key: `again` goes back to its front.
    fn release(&self, key: &str, again: Option<Item<T>>) {
        let mut keys = self.keys();
        let Some(queue) = keys.waiting.get_mut(key) else {
            return;
        };
        let mut returned = 0;
        if let Some(item) = again {
            queue.push_front(item);
            returned = 1;
        }
        let empty = queue.is_empty();
        keys.length += returned;
        if empty {
            keys.waiting.remove(key);
        } else {
            self.make_ready(&mut keys, key.to_owned());
        }
    }
}

/// A subscription of the group.
#[derive(Debug)]
pub struct QueueSource<T>(pub Arc<KeyQueue<T>>);

#[async_trait]
impl<T: Ticket> EventSource for QueueSource<T> {
    async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            match self.0.ready.acquire().await {
                Ok(permit) => permit.forget(),
                Err(closed) => return Err(Error::Unavailable(Box::new(closed))),
            }
            if let Some(mut item) = self.0.take() {
                item.attempt += 1;
                let (event, attempt) = (Arc::clone(&item.event), item.attempt);
                let receipt = Receipt {
                    queue: Arc::clone(&self.0),
                    item: Some(item),
                };
                return Ok(Delivery::new(event, attempt, receipt));
            }
        }
    }
}

#[derive(Debug)]
struct Receipt<T: Ticket> {
    queue: Arc<KeyQueue<T>>,
    item: Option<Item<T>>,
}

impl<T: Ticket> Acknowledge for Receipt<T> {
    fn acknowledge(mut self: Box<Self>) {
        if let Some(item) = self.item.take() {
            self.queue.release(&item.event.key, None);
            item.ticket.done();
        }
    }
}

impl<T: Ticket> Drop for Receipt<T> {
    fn drop(&mut self) {
        if let Some(item) = self.item.take() {
            let key = item.event.key.clone();
            let again = (!item.ticket.is_stale()).then_some(item);
            self.queue.release(&key, again);
        }
    }
}
