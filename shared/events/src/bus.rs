use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use touchstone_api::events::Event;
use touchstone_error::{Classify, ErrorKind};
use touchstone_lifecycle::trial::Mistake;

use crate::{KafkaBus, KafkaOptions, MemoryBus};

/// Takes events and hands them to groups of consumers.
#[async_trait]
pub trait EventBus: Send + Sync + fmt::Debug + 'static {
    /// Hands the events over, in order; `Ok` means that every group will get all of them.
    ///
    /// After an error some may have been taken: publish them all again.
    async fn publish(&self, events: Vec<Event>) -> Result<(), Error>;

    /// Joins the group `group` on `topic`; the group begins with its first subscription.
    async fn subscribe(&self, topic: &str, group: &str) -> Result<Subscription, Error>;

    /// What the bus knows of itself, without waiting.
    fn state(&self) -> BusState {
        BusState::default()
    }
}

/// What a bus knows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BusState {
    /// Whether the cluster answers; `None` for a bus that needs none.
    pub connected: Option<bool>,
    /// The groups of this process.
    pub groups: Vec<GroupState>,
}

/// What this process does in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// Topic.
    pub topic: String,
    /// Group.
    pub group: String,
    /// Events that were published and not dealt with, in the partitions of this process.
    pub lag: u64,
    /// Partitions that this process has.
    pub partitions: usize,
    /// Times that partitions were taken away.
    pub revocations: u64,
    /// Commits that came too late, because the partition was somebody else's.
    pub stale_commits: u64,
    /// Records that were no events, and were skipped.
    pub unreadable: u64,
}

/// Where a subscription gets its deliveries from: what a backend implements.
#[async_trait]
pub trait EventSource: Send + fmt::Debug + 'static {
    /// The next delivery. Cancel-safe.
    async fn next(&mut self) -> Result<Delivery, Error>;
}

/// A member of a group.
#[derive(Debug)]
pub struct Subscription(Box<dyn EventSource>);

impl Subscription {
    /// Wraps a backend's source.
    pub fn new(source: impl EventSource) -> Self {
        Self(Box::new(source))
    }

    /// Waits for the next delivery.
    ///
    /// # Cancellation
    /// Cancel-safe: a delivery is either returned or comes again.
    pub async fn next(&mut self) -> Result<Delivery, Error> {
        self.0.next().await
    }
}

/// How a delivery tells its backend that it was dealt with.
pub trait Acknowledge: Send + fmt::Debug + 'static {
    /// The event is done; dropping without this call brings it again.
    fn acknowledge(self: Box<Self>);
}

/// An event that waits to be acknowledged; dropped without [`Delivery::ack`] it comes again.
#[derive(Debug)]
pub struct Delivery {
    event: Arc<Event>,
    attempt: u32,
    receipt: Box<dyn Acknowledge>,
}

impl Delivery {
    /// Made by backends.
    pub fn new(event: Arc<Event>, attempt: u32, receipt: impl Acknowledge) -> Self {
        Self {
            event,
            attempt,
            receipt: Box::new(receipt),
        }
    }

    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// How often it was delivered, as far as the backend knows; 1 for the first time.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The event is done.
    pub fn ack(self) {
        self.receipt.acknowledge();
    }
}

/// A bus did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A group did not make room in time.
    #[error("the group `{group}` on `{topic}` has no room for more events")]
    Full {
        /// Topic.
        topic: String,
        /// The slow group.
        group: String,
    },
    /// The URI names no bus that is built in.
    #[error(
        "`{0}` is no event bus that is built in; expected `memory://` or \
             `kafka://host:port,…`"
    )]
    Uri(String),
    /// The backend is out of reach.
    #[error("the event bus is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Full { .. } | Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Uri(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Full { .. } => "events.full",
            Self::Uri(_) => "events.uri",
            Self::Unavailable(_) => "events.unavailable",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        self.kind().is_transient().then_some(Duration::from_secs(1))
    }
}

/// Whether [`open`] knows the URI.
pub fn is_uri(uri: &str) -> bool {
    uri == "memory://" || KafkaOptions::parse(uri).is_ok()
}

/// Opens the bus that the URI names; services of one process share what this returns.
pub fn open(uri: &str) -> Result<Arc<dyn EventBus>, Error> {
    match uri {
        "memory://" => Ok(Arc::new(MemoryBus::new())),
        _ if uri.starts_with("kafka://") => Ok(Arc::new(KafkaBus::new(KafkaOptions::parse(uri)?)?)),
        _ => {
            let scheme = uri.split_once(':').map_or(uri, |(scheme, _)| scheme);
            Err(Error::Uri(format!("{scheme}://…")))
        }
    }
}

/// A first look at the Kafka cluster that the URI names, if it names one.
///
/// # Errors
/// [`Mistake`] says why it cannot be used, or not yet.
pub async fn trial(uri: &str) -> Result<(), Mistake> {
    match KafkaOptions::parse(uri) {
        Ok(options) => crate::kafka::trial(&options).await,
        Err(_) => Ok(()),
    }
}
