use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use super::marks::{Marks, Slot};
use crate::queue::KeyQueue;

/// Sends what the library says to the log of this process.
#[derive(Clone, Debug)]
pub struct Logged;

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(error = %error, reason, "Kafka reports a problem");
    }
}

/// A broker that is away makes many lines; what matters is told by `publish` and by the state.
fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, message, "Kafka's library");
        }
        _ => tracing::debug!(facility, message, "Kafka's library"),
    }
}

/// What the callbacks of a member of a group work on.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The topic's name in the cluster.
    pub topic: Arc<str>,
    pub marks: Arc<Marks>,
    pub queue: Arc<KeyQueue<Slot>>,
    pub counters: Arc<Counters>,
}

/// What happened to a member.
#[derive(Debug, Default)]
pub struct Counters {
    /// Events that were published and not dealt with, in the partitions of this process.
    pub lag: AtomicU64,
    /// Ends of partitions that are not fetched from: what the library tells is from its last fetch.
    pub ends: Mutex<HashMap<i32, i64>>,
    /// Times that partitions were taken away.
    pub revocations: AtomicU64,
    /// Commits that came too late: the partition was somebody else's.
    pub stale_commits: AtomicU64,
    /// Records that are no events.
    pub unreadable: AtomicU64,
}

impl Counters {
    /// Ends of partitions that are not fetched from.
    pub fn ends(&self) -> MutexGuard<'_, HashMap<i32, i64>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership {
    /// Marks of these partitions, as the library wants them.
    pub fn list(&self, marks: &[(i32, i64)]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for &(partition, mark) in marks {
            // Only a nonsensical offset is refused.
            let _ = list.add_partition_offset(&self.topic, partition, Offset::Offset(mark));
        }
        list
    }

    /// What became of a commit.
    pub fn note_commit(&self, result: &KafkaResult<()>, offsets: &TopicPartitionList) {
        match result {
            Ok(()) => {
                for element in offsets.elements() {
                    if let Offset::Offset(mark) = element.offset() {
                        self.marks.committed(element.partition(), mark);
                    }
                }
            }
            Err(error) => {
                if is_stale(error) {
                    self.counters.stale_commits.fetch_add(1, Ordering::Relaxed);
                }
                tracing::debug!(error = %error, "a mark was not committed");
            }
        }
    }
}

/// Whether the group has a newer generation than the one that committed.
fn is_stale(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::RebalanceInProgress
                | RDKafkaErrorCode::AssignmentLost
        )
    )
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Logged.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&*self.topic) else {
            return;
        };
        let ends = self.counters.ends();
        let lag = self.marks.partitions().into_iter().filter_map(|partition| {
            let told = topic.partitions.get(&partition)?;
            if told.hi_offset >= 0 {
                self.marks.compare(partition, told.hi_offset);
            }
            let mark = self.marks.mark(partition).unwrap_or(told.committed_offset);
            // Nothing committed: all that is there waits.
            let from = if mark < 0 {
                told.lo_offset.max(0)
            } else {
                mark
            };
            let end = ends
                .get(&partition)
                .map_or(told.hi_offset, |end| told.hi_offset.max(*end));
            u64::try_from(end - from).ok()
        });
        self.counters.lag.store(lag.sum(), Ordering::Relaxed);
    }
}

impl ConsumerContext for Membership {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                self.marks.assign(partitions(list));
            }
            Rebalance::Revoke(list) => {
                let gone = partitions(list);
                self.counters.revocations.fetch_add(1, Ordering::Relaxed);
                // What is done is told before the successor begins; after the session ended it is
                // too late for that.
                let mut done = self.marks.uncommitted();
                done.retain(|(partition, _)| gone.contains(partition));
                if !done.is_empty() && consumer.assignment_lost() {
                    self.counters.stale_commits.fetch_add(1, Ordering::Relaxed);
                } else if !done.is_empty() {
                    let list = self.list(&done);
                    let result = consumer.commit(&list, CommitMode::Sync);
                    self.note_commit(&result, &list);
                }
                self.marks.revoke(gone);
                self.queue.forget_stale();
            }
            Rebalance::Error(error) => {
                tracing::warn!(error = %error, "the group cannot be divided");
            }
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        self.note_commit(&result, offsets);
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<i32> {
    let elements = list.elements();
    elements
        .iter()
        .map(TopicPartitionListElem::partition)
        .collect()
}
