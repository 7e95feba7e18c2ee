use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tokio::runtime::Handle;

use super::context::Membership;
use super::marks::Slot;
use super::reader::Reader;
use super::topics::Topics;
use super::{KafkaOptions, unavailable};
use crate::queue::KeyQueue;
use crate::{Error, GroupState};

/// How long leaving the group may take when the bus is dropped.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// The membership of this process in a group; its subscriptions share what it reads.
#[derive(Debug)]
pub struct Group {
    topic: String,
    name: String,
    membership: Membership,
    stop: Arc<AtomicBool>,
    /// Ends with the thread that reads.
    left: std::sync::Mutex<Receiver<()>>,
}

impl Group {
    pub fn start(
        options: &KafkaOptions,
        topics: Arc<Topics>,
        topic: &str,
        name: &str,
    ) -> Result<Self, Error> {
        let membership = Membership {
            topic: format!("{}{topic}", options.prefix).into(),
            marks: Arc::default(),
            queue: Arc::new(KeyQueue::new()),
            counters: Arc::default(),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let (leaving, left) = channel::<()>();
        let reader = Reader {
            config: options.consumer(&format!("{}{name}", options.prefix)),
            capacity: options.capacity,
            topics,
            topic: topic.to_owned(),
            membership: membership.clone(),
            stop: Arc::clone(&stop),
            runtime: Handle::current(),
        };
        std::thread::Builder::new()
            .name(format!("kafka {name}"))
            .spawn(move || {
                reader.run();
                drop(leaving);
            })
            .map_err(unavailable)?;
        Ok(Self {
            topic: topic.to_owned(),
            name: name.to_owned(),
            membership,
            stop,
            left: std::sync::Mutex::new(left),
        })
    }

    pub fn queue(&self) -> Arc<KeyQueue<Slot>> {
        Arc::clone(&self.membership.queue)
    }

    pub fn state(&self) -> GroupState {
        let counters = &self.membership.counters;
        GroupState {
            topic: self.topic.clone(),
            group: self.name.clone(),
            lag: counters.lag.load(Ordering::Relaxed),
            partitions: self.membership.marks.partitions().len(),
            revocations: counters.revocations.load(Ordering::Relaxed),
            stale_commits: counters.stale_commits.load(Ordering::Relaxed),
            unreadable: counters.unreadable.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Group {
    /// Commits and leaves, so that the others need not wait for the end of the session.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Ok(left) = self.left.get_mut() {
            // Ends with an error either way: nothing is ever sent.
            let _ = left.recv_timeout(LEAVE_TIMEOUT);
        }
    }
}
