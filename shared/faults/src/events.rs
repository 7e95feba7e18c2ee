use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::Kind;
use crate::site::{Hit, Site};

/// What strikes the events of a service.
#[derive(Clone, Debug)]
pub struct Events(Arc<Site>);

/// What becomes of an event.
#[derive(Clone, Debug, Default)]
pub struct Fate {
    /// It is taken, and goes nowhere.
    pub is_lost: bool,
    /// It is delivered twice.
    pub is_repeated: bool,
    late: Vec<Hit>,
}

impl Events {
    pub(crate) const fn new(site: Arc<Site>) -> Self {
        Self(site)
    }

    /// Draws for one event.
    pub fn fate(&self, topic: &str, id: &str) -> Fate {
        let mut fate = Fate::default();
        if self.0.faults().is_empty() {
            return fate;
        }
        for hit in self.0.event(topic, id) {
            match hit.kind() {
                Kind::LoseEvent => fate.is_lost = true,
                Kind::RepeatEvent => fate.is_repeated = true,
                _ => fate.late.push(hit),
            }
        }
        fate
    }
}

impl Fate {
    /// Lost before, and published again.
    pub fn lost() -> Self {
        Self {
            is_lost: true,
            ..Self::default()
        }
    }

    /// Waits as long as the latest of these events is held up, or until their faults are over.
    pub async fn hold_up(fates: &[Self]) {
        let late = fates.iter().flat_map(|fate| &fate.late);
        join_all(late.map(|hit| hit.wait(hit.spec.time(Duration::from_secs(1))))).await;
    }
}
