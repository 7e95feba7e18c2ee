//! The thread that reads a topic for a group.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset};
use tokio::runtime::Handle;
use touchstone_error::chain;

use super::context::Membership;
use super::topics::Topics;
use super::{unavailable, wire};
use crate::{Backoff, Error};

/// How often finished marks are committed.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// Longest wait for a record, so that the stop and the marks are seen to.
const POLL: Duration = Duration::from_millis(50);
/// How often the ends of the logs are asked for while nothing is fetched, and how long an answer may
/// take.
const ASK_EVERY: Duration = Duration::from_secs(1);
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait for the beginning of a log.
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads a topic as a member of a group until told to stop.
pub struct Reader {
    pub config: ClientConfig,
    /// Events that wait at most; beyond, reading pauses.
    pub capacity: usize,
    pub topics: Arc<Topics>,
    pub topic: String,
    pub membership: Membership,
    pub stop: Arc<AtomicBool>,
    pub runtime: Handle,
}

type Member = BaseConsumer<Membership>;

impl Reader {
    pub fn run(&self) {
        let mut failures = 0;
        while !self.stopped() {
            if let Err(error) = self.read() {
                failures += 1;
                tracing::debug!(
                    error = %chain(&error), failures, "`{}` cannot be read, trying again", self.topic
                );
                self.pause(Backoff::default().after(failures));
            } else {
                failures = 0;
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.stopped() && Instant::now() < until {
            std::thread::sleep(POLL);
        }
    }

    /// Joins the group and reads, until told to stop or the topic is gone.
    fn read(&self) -> Result<(), Error> {
        self.runtime.block_on(self.topics.ensure(&self.topic))?;
        let member: Member = self
            .config
            .create_with_context(self.membership.clone())
            .map_err(unavailable)?;
        member
            .subscribe(&[&self.membership.topic])
            .map_err(unavailable)?;
        let ended = self.follow(&member);
        self.commit(&member, CommitMode::Sync);
        member.unsubscribe();
        drop(member);
        // Whatever is left belongs to whoever reads next.
        let held = self.membership.marks.partitions();
        self.membership.marks.revoke(held);
        self.membership.queue.forget_stale();
        ended.map_err(unavailable)
    }

    fn follow(&self, member: &Member) -> KafkaResult<()> {
        let marks = &self.membership.marks;
        let mut committed = Instant::now();
        let mut asked = Instant::now();
        let mut paused = false;
        // The assignment during which the cluster was out of reach, while that is not settled.
        let mut outage = None;
        while !self.stopped() {
            match member.poll(POLL) {
                Some(Ok(message)) => self.take(&message),
                Some(Err(error)) if is_gone(&error) => {
                    self.topics.forget();
                    return Err(error);
                }
                Some(Err(error)) => {
                    tracing::debug!(error = %error, "reading `{}` failed", self.topic);
                    outage.get_or_insert(marks.generation());
                }
                None => {}
            }
            if outage.is_some_and(|before| marks.generation() > before) {
                outage = None;
                // The group was divided while the cluster had no such topic, and would stay so.
                if marks.partitions().is_empty() {
                    self.topics.forget();
                    return Err(KafkaError::MessageConsumption(
                        RDKafkaErrorCode::UnknownTopicOrPartition,
                    ));
                }
            }
            self.begin_anew(member)?;
            paused = self.hold_back(member, paused)?;
            if paused && asked.elapsed() >= ASK_EVERY {
                self.ask_ends(member);
                asked = Instant::now();
            }
            if committed.elapsed() >= COMMIT_EVERY {
                committed = Instant::now();
                self.commit(member, CommitMode::Async);
            }
        }
        Ok(())
    }

    fn take(&self, message: &impl Message) {
        let Some(slot) = self
            .membership
            .marks
            .take(message.partition(), message.offset())
        else {
            return;
        };
        match wire::decode(message) {
            Ok(event) => self.membership.queue.push(Arc::new(event), slot),
            Err(error) => {
                let unreadable = &self.membership.counters.unreadable;
                unreadable.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    partition = message.partition(), offset = message.offset(), error = %error,
                    "a record of `{}` is no event", self.topic
                );
                crate::queue::Ticket::done(slot);
            }
        }
    }

    /// A cluster that lost its data begins its logs again, and the library may go on in the middle
    /// of the new one.
    fn begin_anew(&self, member: &Member) -> KafkaResult<()> {
        for partition in self.membership.marks.lost() {
            tracing::warn!(
                partition,
                "`{}` lost events, reading what is there",
                self.topic
            );
            self.membership.queue.forget_stale();
            let topic = &self.membership.topic;
            member.seek(topic, partition, Offset::Beginning, SEEK_TIMEOUT)?;
        }
        Ok(())
    }

    /// Stops fetching while too much waits here; the partitions stay ours.
    fn hold_back(&self, member: &Member, paused: bool) -> KafkaResult<bool> {
        let waiting = self.membership.queue.len();
        if !paused && waiting >= self.capacity {
            member.pause(&member.assignment()?)?;
            return Ok(true);
        }
        if paused && waiting <= self.capacity / 2 {
            member.resume(&member.assignment()?)?;
            self.membership.counters.ends().clear();
            return Ok(false);
        }
        Ok(paused)
    }

    /// Asks where the partitions end: nothing is fetched that would tell.
    fn ask_ends(&self, member: &Member) {
        let Membership { topic, marks, .. } = &self.membership;
        for partition in marks.partitions() {
            let Ok((_, end)) = member.fetch_watermarks(topic, partition, ASK_TIMEOUT) else {
                return;
            };
            self.membership.counters.ends().insert(partition, end);
        }
    }

    fn commit(&self, member: &Member, mode: CommitMode) {
        let marks = self.membership.marks.uncommitted();
        if marks.is_empty() {
            return;
        }
        let list = self.membership.list(&marks);
        let waits = matches!(mode, CommitMode::Sync);
        let result = member.commit(&list, mode);
        // An asynchronous commit tells its end to the callback.
        if waits || result.is_err() {
            self.membership.note_commit(&result, &list);
        }
    }
}

/// Whether the cluster lost the topic, or the client its mind: a new member begins afresh.
fn is_gone(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::Fatal
        )
    )
}
