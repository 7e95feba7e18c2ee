//! Bugs that are planted on purpose: a reconciler that does not see them proves nothing. They live
//! in decorators of this crate and cannot be switched on in the services.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::json;
use touchstone_api::events::Event;
use touchstone_events::{Backoff, Error, EventBus, MemoryBus, Relay, RelayOptions, Subscription};
use touchstone_lifecycle::Lifecycle;
use touchstone_store::Outbox;
use touchstone_types::{Clock, EventId, FrozenClock, SystemClock};
use uuid::Uuid;

use super::reconcile::{Findings, Stored, reconcile};
use super::record::{Class, Entry};

const FACTS: u32 = 300;

/// Facts that were accepted, and which of their events count as sent. Survives every crash.
#[derive(Debug, Default)]
struct Facts(Mutex<Vec<(Event, bool)>>);

#[async_trait]
impl Outbox for Facts {
    async fn pending(&self, limit: u32) -> Result<Vec<Event>, touchstone_store::Error> {
        let facts = self.0.lock().unwrap();
        let unsent = facts.iter().filter(|(_, sent)| !sent);
        Ok(unsent
            .take(limit as usize)
            .map(|(event, _)| event.clone())
            .collect())
    }

    async fn backlog(&self) -> Result<u64, touchstone_store::Error> {
        let facts = self.0.lock().unwrap();
        Ok(facts.iter().filter(|(_, sent)| !sent).count() as u64)
    }

    async fn mark_sent(
        &self,
        ids: &[EventId],
        _: DateTime<Utc>,
    ) -> Result<(), touchstone_store::Error> {
        for (event, sent) in self.0.lock().unwrap().iter_mut() {
            *sent |= ids.contains(&event.id);
        }
        Ok(())
    }

    async fn prune(&self, _: DateTime<Utc>) -> Result<u64, touchstone_store::Error> {
        Ok(0)
    }
}

/// Fails every third delivery, as a broker does that goes away.
#[derive(Debug)]
struct Shaky(MemoryBus, AtomicU32);

#[async_trait]
impl EventBus for Shaky {
    async fn publish(&self, events: Vec<Event>) -> Result<(), Error> {
        if self.1.fetch_add(1, Ordering::SeqCst) % 3 == 1 {
            return Err(Error::Unavailable("the broker is away".into()));
        }
        self.0.publish(events).await
    }

    async fn subscribe(&self, topic: &str, group: &str) -> Result<Subscription, Error> {
        self.0.subscribe(topic, group).await
    }
}

/// Planted bug: says "sent" without waiting for the report of the delivery.
#[derive(Debug)]
struct Hasty(Arc<dyn EventBus>);

#[async_trait]
impl EventBus for Hasty {
    async fn publish(&self, events: Vec<Event>) -> Result<(), Error> {
        let _ = self.0.publish(events).await;
        Ok(())
    }

    async fn subscribe(&self, topic: &str, group: &str) -> Result<Subscription, Error> {
        self.0.subscribe(topic, group).await
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// The consumer acknowledges before its effect.
    CommitBeforeEffect,
    /// The relay marks before the bus has the event.
    MarkedBeforeDelivery,
}

/// Relays facts over a bus that fails to a consumer that crashes; what the ledger finds.
async fn run(bug: Bug) -> (Findings, u32) {
    let facts = Arc::new(Facts::default());
    let at = FrozenClock::default().now();
    let mut ledger = Vec::new();
    for number in 0..FACTS {
        let key = format!("fact-{number}");
        facts.0.lock().unwrap().push((
            Event {
                id: EventId::from_uuid(Uuid::from_u128(u128::from(number) + 1)),
                topic: "facts".to_owned(),
                key: key.clone(),
                at,
                traceparent: None,
                payload: json!({ "key": key }),
            },
            false,
        ));
        ledger.push(Entry {
            key,
            sha256: String::new(),
            class: Class::Ok,
            id: None,
        });
    }
    let shaky: Arc<dyn EventBus> = Arc::new(Shaky(MemoryBus::new(), AtomicU32::new(0)));
    let mut subscription = shaky.subscribe("facts", "effects").await.unwrap();
    let bus = if bug == Bug::MarkedBeforeDelivery {
        Arc::new(Hasty(shaky))
    } else {
        shaky
    };
    let life = Lifecycle::new();
    let options = RelayOptions {
        batch: 10,
        backoff: Backoff {
            first: Duration::from_millis(1),
            max: Duration::from_millis(1),
        },
        ..RelayOptions::default()
    };
    let outbox: Arc<dyn Outbox> = Arc::clone(&facts) as _;
    Relay::new(outbox, bus, Arc::new(SystemClock), options).start("relay", &life);
    let mut effects: BTreeMap<String, Stored> = BTreeMap::new();
    let (mut crashes, mut turn) = (0, 0);
    loop {
        // Nothing waits and nothing comes: whatever will arrive has arrived.
        let quiet = facts.backlog().await.unwrap() == 0;
        let next = tokio::time::timeout(Duration::from_millis(200), subscription.next()).await;
        let Ok(delivery) = next else {
            if quiet {
                break;
            }
            continue;
        };
        let delivery = delivery.unwrap();
        turn += 1;
        let crash = turn % 7 == 0;
        crashes += u32::from(crash);
        let key = delivery.event().key.clone();
        if bug == Bug::CommitBeforeEffect {
            delivery.ack();
            if crash {
                continue;
            }
            effects.insert(key.clone(), effect(&key));
        } else if crash {
            drop(delivery);
        } else {
            effects.insert(key.clone(), effect(&key));
            delivery.ack();
        }
    }
    assert!(life.shutdown(Duration::from_secs(30)).await.is_clean());
    let stored: Vec<_> = effects.into_values().collect();
    (reconcile(&ledger, &stored), crashes)
}

fn effect(key: &str) -> Stored {
    Stored {
        key: key.to_owned(),
        sha256: String::new(),
        status: "indexed".to_owned(),
        reason: None,
        wanted: BTreeSet::new(),
        points: BTreeSet::new(),
    }
}

#[tokio::test]
async fn without_a_bug_crashes_and_lost_deliveries_lose_nothing() {
    let (findings, crashes) = run(Bug::None).await;
    assert!(crashes > 0, "no crash hit the consumer");
    assert_eq!(findings, Findings::default());
}

#[tokio::test]
async fn a_commit_before_the_effect_is_caught() {
    let (findings, crashes) = run(Bug::CommitBeforeEffect).await;
    assert!(crashes > 0 && !findings.missing.is_empty(), "{findings:?}");
}

#[tokio::test]
async fn a_mark_before_the_delivery_is_caught() {
    let (findings, _) = run(Bug::MarkedBeforeDelivery).await;
    assert!(!findings.missing.is_empty(), "{findings:?}");
}
