use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use touchstone_api::events::Event;

use crate::{Acknowledge, Delivery, Error, EventBus, EventSource, Subscription};

/// Events that a group holds at most, waiting or being worked on.
const CAPACITY: usize = 1024;
/// How long `publish` waits for room.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// The bus of one process.
#[derive(Clone, Debug)]
pub struct MemoryBus {
    topics: Arc<Mutex<BTreeMap<String, Groups>>>,
    capacity: usize,
    publish_timeout: Duration,
}

type Groups = BTreeMap<String, Arc<Group>>;

/// The queue of one group on one topic.
#[derive(Debug)]
struct Group {
    keys: Mutex<Keys>,
    /// One permit per key that may be worked on now.
    ready: Semaphore,
    /// One permit per event that there is room for; an event keeps its permit until acknowledged.
    room: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Keys {
    /// Keys that have events and nobody at work on them.
    ready: VecDeque<String>,
    /// Events by key. A key is here while it has events, waiting or being worked on.
    waiting: HashMap<String, VecDeque<Item>>,
}

#[derive(Debug)]
struct Item {
    event: Arc<Event>,
    attempt: u32,
    _room: OwnedSemaphorePermit,
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryBus {
    /// A bus without topics.
    pub fn new() -> Self {
        Self::bounded(CAPACITY, PUBLISH_TIMEOUT)
    }

    /// A bus whose groups hold `capacity` events and whose `publish` waits `publish_timeout`.
    pub fn bounded(capacity: usize, publish_timeout: Duration) -> Self {
        Self {
            topics: Arc::default(),
            capacity,
            publish_timeout,
        }
    }

    fn topics(&self) -> MutexGuard<'_, BTreeMap<String, Groups>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn groups(&self, topic: &str) -> Groups {
        self.topics().get(topic).cloned().unwrap_or_default()
    }
}

#[async_trait]
impl EventBus for MemoryBus {
    async fn publish(&self, events: Vec<Event>) -> Result<(), Error> {
        let deadline = Instant::now() + self.publish_timeout;
        for event in events {
            let event = Arc::new(event);
            for (group, queue) in self.groups(&event.topic) {
                let room = timeout_at(deadline, Arc::clone(&queue.room).acquire_owned()).await;
                let Ok(Ok(room)) = room else {
                    return Err(Error::Full {
                        topic: event.topic.clone(),
                        group,
                    });
                };
                queue.push(Item {
                    event: Arc::clone(&event),
                    attempt: 0,
                    _room: room,
                });
            }
        }
        Ok(())
    }

    async fn subscribe(&self, topic: &str, group: &str) -> Result<Subscription, Error> {
        let queue = {
            let mut topics = self.topics();
            let groups = topics.entry(topic.to_owned()).or_default();
            let queue = groups.entry(group.to_owned());
            Arc::clone(queue.or_insert_with(|| Arc::new(Group::new(self.capacity))))
        };
        Ok(Subscription::new(MemorySource(queue)))
    }
}

impl Group {
    fn new(capacity: usize) -> Self {
        Self {
            keys: Mutex::default(),
            ready: Semaphore::new(0),
            room: Arc::new(Semaphore::new(capacity)),
        }
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, item: Item) {
        let mut keys = self.keys();
        let key = item.event.key.clone();
        match keys.waiting.get_mut(&key) {
            Some(queue) => queue.push_back(item),
            None => {
                keys.waiting.insert(key.clone(), VecDeque::from([item]));
                self.make_ready(&mut keys, key);
            }
        }
    }

    fn make_ready(&self, keys: &mut Keys, key: String) {
        keys.ready.push_back(key);
        self.ready.add_permits(1);
    }

    fn take(&self) -> Option<Item> {
        let mut keys = self.keys();
        let key = keys.ready.pop_front()?;
        keys.waiting.get_mut(&key)?.pop_front()
    }

    /// Ends the work on a key: `again` goes back to its front.
    fn release(&self, key: &str, again: Option<Item>) {
        let mut keys = self.keys();
        let Some(queue) = keys.waiting.get_mut(key) else {
            return;
        };
        if let Some(item) = again {
            queue.push_front(item);
        }
        if queue.is_empty() {
            keys.waiting.remove(key);
        } else {
            self.make_ready(&mut keys, key.to_owned());
        }
    }
}

#[derive(Debug)]
struct MemorySource(Arc<Group>);

#[async_trait]
impl EventSource for MemorySource {
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
                    group: Arc::clone(&self.0),
                    item: Some(item),
                };
                return Ok(Delivery::new(event, attempt, receipt));
            }
        }
    }
}

#[derive(Debug)]
struct Receipt {
    group: Arc<Group>,
    item: Option<Item>,
}

impl Acknowledge for Receipt {
    fn acknowledge(mut self: Box<Self>) {
        if let Some(item) = self.item.take() {
            self.group.release(&item.event.key, None);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(item) = self.item.take() {
            let key = item.event.key.clone();
            self.group.release(&key, Some(item));
        }
    }
}
