use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use touchstone_api::events::Event;
use touchstone_error::{Classify, chain};
use touchstone_lifecycle::Lifecycle;

use crate::{Backoff, Delivery, Error, EventBus, Subscription};

/// Deals with the events of a topic.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Deals with one event; it may come again, so the effect and the inbox go together.
    async fn handle(&self, event: &Event) -> Result<(), Failure>;

    /// An event that failed for good or too often; it is acknowledged afterwards.
    async fn give_up(&self, event: &Event, failure: &Failure);
}

/// Why an event was not dealt with.
#[derive(Debug)]
pub enum Failure {
    /// It may succeed later.
    Passing(Box<dyn StdError + Send + Sync>),
    /// It will never succeed.
    Lasting(Box<dyn StdError + Send + Sync>),
    /// The handler panicked, with this message; treated like [`Failure::Passing`].
    Panic(String),
}

impl Failure {
    /// Passing or lasting, as the error's kind says.
    pub fn of<E: Classify + Send + Sync + 'static>(error: E) -> Self {
        if error.kind().is_transient() {
            Self::Passing(Box::new(error))
        } else {
            Self::Lasting(Box::new(error))
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passing(error) | Self::Lasting(error) => chain(&**error).fmt(f),
            Self::Panic(message) => write!(f, "panicked: {message}"),
        }
    }
}

/// Runs a [`Handler`] on the subscriptions of a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// Topic.
    pub topic: String,
    /// Group; also the name of the tasks.
    pub group: String,
    /// How many events are worked on at once.
    pub concurrency: usize,
    /// Attempts before giving up.
    pub attempts: u32,
    /// Pauses between attempts.
    pub backoff: Backoff,
}

impl Consumer {
    /// A consumer of `topic` as `group`: one event at a time, five attempts.
    pub fn new(topic: impl Into<String>, group: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            group: group.into(),
            concurrency: 1,
            attempts: 5,
            backoff: Backoff::default(),
        }
    }

    /// Subscribes, then works in tracked tasks until the soft stop. The event in work at that
    /// moment is finished; one that waits for its next attempt is left to be delivered again.
    pub async fn start(
        self,
        bus: &dyn EventBus,
        handler: Arc<dyn Handler>,
        life: &Lifecycle,
    ) -> Result<(), Error> {
        for number in 0..self.concurrency.max(1) {
            let subscription = bus.subscribe(&self.topic, &self.group).await?;
            let task = self
                .clone()
                .work(subscription, Arc::clone(&handler), life.clone());
            life.spawn(format!("{}.{number}", self.group), task);
        }
        Ok(())
    }

    async fn work(
        self,
        mut subscription: Subscription,
        handler: Arc<dyn Handler>,
        life: Lifecycle,
    ) {
        let stop = life.soft_stop();
        let mut broken = 0;
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                next = subscription.next() => next,
            };
            match next {
                Ok(delivery) => {
                    broken = 0;
                    self.deal_with(delivery, &*handler, &life).await;
                }
                Err(error) => {
                    broken += 1;
                    tracing::warn!(
                        error = %chain(&error), "`{}` cannot read `{}`", self.group, self.topic
                    );
                    let pause = tokio::time::sleep(self.backoff.after(broken));
                    if stop.run_until_cancelled(pause).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    async fn deal_with(&self, delivery: Delivery, handler: &dyn Handler, life: &Lifecycle) {
        let stop = life.soft_stop();
        let event = delivery.event();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let Err(failure) = attempt_once(handler, event).await else {
                break;
            };
            let lasting = matches!(failure, Failure::Lasting(_));
            if lasting || attempt >= self.attempts {
                tracing::warn!(
                    event.id = %event.id, event.topic = event.topic, attempt, error = %failure,
                    "`{}` gives up an event", self.group
                );
                let give_up = AssertUnwindSafe(handler.give_up(event, &failure)).catch_unwind();
                if give_up.await.is_err() {
                    tracing::error!(event.id = %event.id, "giving up panicked");
                }
                break;
            }
            tracing::debug!(event.id = %event.id, attempt, error = %failure, "trying again");
            let pause = tokio::time::sleep(self.backoff.after(attempt));
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
        delivery.ack();
    }
}

async fn attempt_once(handler: &dyn Handler, event: &Event) -> Result<(), Failure> {
    match AssertUnwindSafe(handler.handle(event)).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(Failure::Panic(message(&*panic))),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .to_owned()
}
