use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use touchstone_api::events::Event;
use touchstone_faults::{Events, Fate};

use crate::bus::BusState;
use crate::{Error, EventBus, Subscription};

/// A bus that loses, repeats or holds up events when that was asked for.
#[derive(Debug)]
pub struct FaultyBus {
    bus: Arc<dyn EventBus>,
    faults: Events,
    /// Lost, and perhaps published again: until the bus has taken the others of their batch.
    lost: Mutex<HashSet<String>>,
}

impl FaultyBus {
    /// `bus` with the faults of the events that a service publishes.
    pub fn new(bus: Arc<dyn EventBus>, faults: Events) -> Self {
        Self {
            bus,
            faults,
            lost: Mutex::default(),
        }
    }

    /// What is left of the events, what happens to them, and which are lost.
    fn strike(&self, events: Vec<Event>) -> (Vec<Event>, Vec<Fate>, Vec<String>) {
        let mut left = Vec::with_capacity(events.len());
        let (mut fates, mut gone) = (Vec::new(), Vec::new());
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            let id = event.id.to_string();
            let fate = if lost.contains(&id) {
                Fate::lost()
            } else {
                self.faults.fate(&event.topic, &id)
            };
            if fate.is_lost {
                lost.insert(id.clone());
                gone.push(id);
            } else {
                if fate.is_repeated {
                    left.push(event.clone());
                }
                left.push(event);
            }
            fates.push(fate);
        }
        (left, fates, gone)
    }
}

#[async_trait]
impl EventBus for FaultyBus {
    async fn publish(&self, events: Vec<Event>) -> Result<(), Error> {
        let (events, fates, gone) = self.strike(events);
        Fate::hold_up(&fates).await;
        if !events.is_empty() {
            self.bus.publish(events).await?;
        }
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        for id in gone {
            lost.remove(&id);
        }
        Ok(())
    }

    async fn subscribe(&self, topic: &str, group: &str) -> Result<Subscription, Error> {
        self.bus.subscribe(topic, group).await
    }

    fn state(&self) -> BusState {
        self.bus.state()
    }
}
