use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use touchstone_api::events::Event;

use crate::queue::{KeyQueue, QueueSource, Ticket};
use crate::{Error, EventBus, Subscription};

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

/// One group on one topic.
#[derive(Debug)]
struct Group {
    queue: Arc<KeyQueue<Room>>,
    /// One permit per event that there is room for; an event keeps its permit until acknowledged.
    room: Arc<Semaphore>,
}

/// The place that an event takes.
#[derive(Debug)]
struct Room(OwnedSemaphorePermit);

impl Ticket for Room {
    fn done(self) {
        drop(self.0);
    }
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
            for (name, group) in self.groups(&event.topic) {
                let room = timeout_at(deadline, Arc::clone(&group.room).acquire_owned()).await;
                let Ok(Ok(room)) = room else {
                    return Err(Error::Full {
                        topic: event.topic.clone(),
                        group: name,
                    });
                };
                group.queue.push(Arc::clone(&event), Room(room));
            }
        }
        Ok(())
    }

    async fn subscribe(&self, topic: &str, group: &str) -> Result<Subscription, Error> {
        let queue = {
            let mut topics = self.topics();
            let groups = topics.entry(topic.to_owned()).or_default();
            let group = groups.entry(group.to_owned());
            let group = group.or_insert_with(|| Arc::new(Group::new(self.capacity)));
            Arc::clone(&group.queue)
        };
        Ok(Subscription::new(QueueSource(queue)))
    }
}

impl Group {
    fn new(capacity: usize) -> Self {
        Self {
            queue: Arc::new(KeyQueue::new()),
            room: Arc::new(Semaphore::new(capacity)),
        }
    }
}
