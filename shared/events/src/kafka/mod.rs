//! The bus on Kafka.

mod context;
mod group;
mod marks;
mod options;
mod reader;
mod topics;
mod trial;
mod watermark;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use touchstone_api::events::Event;

pub use self::options::KafkaOptions;
pub(crate) use self::trial::trial;

use self::context::Logged;
use self::group::Group;
use self::topics::Topics;
use crate::queue::QueueSource;
use crate::{BusState, Error, EventBus, Subscription};

/// How often the cluster is asked whether it is there.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The bus of many processes: topics and groups of a Kafka cluster.
///
/// Needs no broker to be opened or subscribed to; until one answers, `publish` fails after the
/// delivery timeout and nothing is delivered.
pub struct KafkaBus {
    options: KafkaOptions,
    topics: Arc<Topics>,
    producer: Mutex<Sender>,
    groups: Mutex<BTreeMap<(String, String), Group>>,
    connected: Arc<AtomicBool>,
}

impl fmt::Debug for KafkaBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaBus")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

type Sender = FutureProducer<Logged>;

impl KafkaBus {
    /// A bus on the cluster that the options name.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the library refuses the options.
    pub fn new(options: KafkaOptions) -> Result<Self, Error> {
        let producer = new_producer(&options)?;
        let connected = Arc::new(AtomicBool::new(false));
        probe(&producer, &connected);
        Ok(Self {
            topics: Arc::new(Topics::new(options.clone())),
            producer: Mutex::new(producer),
            groups: Mutex::default(),
            connected,
            options,
        })
    }

    fn producer(&self) -> MutexGuard<'_, Sender> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn groups(&self) -> MutexGuard<'_, BTreeMap<(String, String), Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends all and waits for every report. Whatever went wrong, events may be in the log.
    async fn send(&self, events: &[Event]) -> Result<(), KafkaError> {
        let producer = self.producer().clone();
        let mut reports = Vec::with_capacity(events.len());
        let mut refused = None;
        for event in events {
            let topic = format!("{}{}", self.options.prefix, event.topic);
            let (payload, headers) = wire::encode(event);
            let record = FutureRecord::to(&topic)
                .key(&event.key)
                .payload(&payload)
                .headers(headers);
            match producer.send_result(record) {
                Ok(report) => reports.push(report),
                Err((error, _)) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        for report in join_all(reports).await {
            match report {
                Ok(Ok(_)) => {}
                Ok(Err((error, _))) => return Err(error),
                Err(_) => return Err(KafkaError::Canceled),
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// A producer that met a fatal error never sends again.
    fn replace_broken_producer(&self, error: &KafkaError) -> Result<(), Error> {
        let mut producer = self.producer();
        let fatal = error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal);
        if fatal || producer.client().fatal_error().is_some() {
            tracing::warn!(error = %error, "the producer is broken, a new one takes over");
            *producer = new_producer(&self.options)?;
            probe(&producer, &self.connected);
        }
        Ok(())
    }
}

#[async_trait]
impl EventBus for KafkaBus {
    async fn publish(&self, events: Vec<Event>) -> Result<(), Error> {
        let topics: BTreeSet<&str> = events.iter().map(|event| event.topic.as_str()).collect();
        for topic in topics {
            self.topics.ensure(topic).await?;
        }
        let Err(error) = self.send(&events).await else {
            return Ok(());
        };
        // The topic may be gone with the broker's data.
        self.topics.forget();
        self.replace_broken_producer(&error)?;
        Err(unavailable(error))
    }

    async fn subscribe(&self, topic: &str, group: &str) -> Result<Subscription, Error> {
        let mut groups = self.groups();
        let name = (topic.to_owned(), group.to_owned());
        if let Some(group) = groups.get(&name) {
            return Ok(Subscription::new(QueueSource(group.queue())));
        }
        let group = Group::start(&self.options, Arc::clone(&self.topics), topic, group)?;
        let queue = group.queue();
        groups.insert(name, group);
        Ok(Subscription::new(QueueSource(queue)))
    }

    fn state(&self) -> BusState {
        BusState {
            connected: Some(self.connected.load(Ordering::Relaxed)),
            groups: self.groups().values().map(Group::state).collect(),
        }
    }
}

fn new_producer(options: &KafkaOptions) -> Result<Sender, Error> {
    let config = options.producer();
    config.create_with_context(Logged).map_err(unavailable)
}

/// Asks the cluster now and then, until the producer is dropped.
fn probe(producer: &Sender, connected: &Arc<AtomicBool>) {
    let (producer, connected) = (producer.clone(), Arc::downgrade(connected));
    std::thread::spawn(move || {
        while let Some(connected) = connected.upgrade() {
            if producer.client().fatal_error().is_some() {
                return;
            }
            // A topic that need not exist keeps the answer small.
            let answer = producer
                .client()
                .fetch_metadata(Some("probe"), PROBE_TIMEOUT);
            connected.store(answer.is_ok(), Ordering::Relaxed);
            drop(connected);
            std::thread::sleep(PROBE_EVERY);
        }
    });
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Unavailable(Box::new(error))
}
