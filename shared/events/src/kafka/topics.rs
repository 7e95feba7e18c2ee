use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use touchstone_api::events;

use super::context::Logged;
use super::{KafkaOptions, unavailable};
use crate::Error;

const TIMEOUT: Duration = Duration::from_secs(5);
/// The cluster decides how many copies there are.
const REPLICATION: TopicReplication<'_> = TopicReplication::Fixed(-1);

/// The topics that are known to be there.
#[derive(Debug)]
pub struct Topics {
    options: KafkaOptions,
    known: Mutex<BTreeSet<String>>,
}

impl Topics {
    pub const fn new(options: KafkaOptions) -> Self {
        Self {
            options,
            known: Mutex::new(BTreeSet::new()),
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a topic with the partitions that are declared for it, unless it is there.
    pub async fn ensure(&self, topic: &str) -> Result<(), Error> {
        if self.known().contains(topic) {
            return Ok(());
        }
        let admin: AdminClient<Logged> = self
            .options
            .client()
            .create_with_context(Logged)
            .map_err(unavailable)?;
        let name = format!("{}{topic}", self.options.prefix);
        let new = NewTopic::new(&name, events::partitions(topic), REPLICATION);
        let options = AdminOptions::new()
            .request_timeout(Some(TIMEOUT))
            .operation_timeout(Some(TIMEOUT));
        let results = admin.create_topics(&[new], &options).await;
        for result in results.map_err(unavailable)? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(Error::Unavailable(Box::new(code))),
            }
        }
        self.known().insert(topic.to_owned());
        Ok(())
    }

    /// The cluster may have lost its topics.
    pub fn forget(&self) {
        self.known().clear();
    }
}
