use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A pool of slots with a queue: first come, first served, and a bounded number in waiting.
#[derive(Clone, Debug)]
pub struct Slots {
    free: Arc<Semaphore>,
    total: usize,
    room: usize,
    waiting: Arc<AtomicUsize>,
    busy_gauge: Gauge,
    waiting_gauge: Gauge,
}

/// A slot; dropping it frees it.
#[derive(Debug)]
pub struct Slot {
    // Held for its drop.
    _permit: OwnedSemaphorePermit,
    busy: Gauge,
}

/// A place in the queue; dropping it leaves the queue.
struct Place {
    waiting: Arc<AtomicUsize>,
    gauge: Gauge,
}

impl Slots {
    /// `total` slots and `room` places in the queue.
    pub fn new(total: usize, room: usize, busy_gauge: Gauge, waiting_gauge: Gauge) -> Self {
        Self {
            free: Arc::new(Semaphore::new(total)),
            total,
            room,
            waiting: Arc::default(),
            busy_gauge,
            waiting_gauge,
        }
    }

    /// Queues up: a future that resolves when it is this one's turn, or `None` when the queue is
    /// full. The place is taken at the first poll of the future.
    pub fn queue(&self) -> Option<BoxFuture<'static, Option<Slot>>> {
        let free = Arc::clone(&self.free);
        let busy = self.busy_gauge.clone();
        if let Ok(permit) = Arc::clone(&free).try_acquire_owned() {
            let slot = Slot::new(permit, busy);
            return Some(Box::pin(async move { Some(slot) }));
        }
        let place = Place::take(&self.waiting, self.room, self.waiting_gauge.clone())?;
        Some(Box::pin(async move {
            let permit = free.acquire_owned().await.ok();
            drop(place);
            permit.map(|permit| Slot::new(permit, busy))
        }))
    }

    /// Share of the slots that are taken, 0 to 1.
    pub fn load(&self) -> f64 {
        (self.total - self.free.available_permits().min(self.total)) as f64 / self.total as f64
    }

    /// Slots that are free.
    pub fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// Answers that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

impl Slot {
    fn new(permit: OwnedSemaphorePermit, busy: Gauge) -> Self {
        busy.inc();
        Self {
            _permit: permit,
            busy,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.busy.dec();
    }
}

impl Place {
    fn take(waiting: &Arc<AtomicUsize>, room: usize, gauge: Gauge) -> Option<Self> {
        let more = |count: usize| (count < room).then_some(count + 1);
        waiting
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more)
            .ok()?;
        gauge.inc();
        Some(Self {
            waiting: Arc::clone(waiting),
            gauge,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn slots_go_first_come_first_served_and_never_leak() {
        let slots = Slots::new(1, 2, Gauge::default(), Gauge::default());
        let first = slots.queue().unwrap().await.unwrap();
        let mut second = slots.queue().unwrap();
        let mut third = slots.queue().unwrap();
        assert!(slots.queue().is_none());
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        assert_eq!((slots.free(), slots.waiting(), slots.load()), (0, 2, 1.0));
        drop(first);
        assert!((&mut third).now_or_never().is_none());
        let second = second.now_or_never().flatten().unwrap();
        drop(third);
        assert_eq!(slots.waiting(), 0);
        drop(second);
        assert_eq!((slots.free(), slots.load()), (1, 0.0));
    }
}
