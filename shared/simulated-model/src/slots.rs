use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Is told of every slot that is taken or freed and of every place in the queue: for gauges.
pub trait Occupancy: Debug + Send + Sync {
    /// A slot was taken (1) or freed (-1).
    fn slots(&self, change: i64);
    /// A place in the queue was taken (1) or left (-1).
    fn queue(&self, change: i64);
}

/// Nobody is told.
impl Occupancy for () {
    fn slots(&self, _change: i64) {}
    fn queue(&self, _change: i64) {}
}

/// A pool of slots with a queue: first come, first served, and a bounded number in waiting.
#[derive(Clone, Debug)]
pub struct Slots {
    free: Arc<Semaphore>,
    total: usize,
    room: usize,
    waiting: Arc<AtomicUsize>,
    occupancy: Arc<dyn Occupancy>,
}

/// Resolves to a slot when it is one's turn, to `None` should the pool be no more.
pub type Turn = BoxFuture<'static, Option<Slot>>;

/// A slot; dropping it frees it.
#[derive(Debug)]
pub struct Slot {
    // Held for its drop.
    _permit: OwnedSemaphorePermit,
    occupancy: Arc<dyn Occupancy>,
}

/// A place in the queue; dropping it leaves the queue.
struct Place {
    waiting: Arc<AtomicUsize>,
    occupancy: Arc<dyn Occupancy>,
}

impl Slots {
    /// `total` slots and `room` places in the queue.
    pub fn new(total: usize, room: usize, occupancy: Arc<dyn Occupancy>) -> Self {
        Self {
            free: Arc::new(Semaphore::new(total)),
            total,
            room,
            waiting: Arc::default(),
            occupancy,
        }
    }

    /// Queues up: a future that resolves when it is this one's turn, or `None` when the queue is
    /// full. The place is taken at the first poll of the future.
    pub fn queue(&self) -> Option<Turn> {
        let free = Arc::clone(&self.free);
        let occupancy = Arc::clone(&self.occupancy);
        if let Ok(permit) = Arc::clone(&free).try_acquire_owned() {
            let slot = Slot::new(permit, occupancy);
            return Some(Box::pin(async move { Some(slot) }));
        }
        let place = Place::take(&self.waiting, self.room, Arc::clone(&occupancy))?;
        Some(Box::pin(async move {
            let permit = free.acquire_owned().await.ok();
            drop(place);
            permit.map(|permit| Slot::new(permit, occupancy))
        }))
    }

    /// Slots that are taken.
    pub fn busy(&self) -> usize {
        self.total - self.free().min(self.total)
    }

    /// Share of the slots that are taken, 0 to 1.
    pub fn load(&self) -> f64 {
        self.busy() as f64 / self.total.max(1) as f64
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
    fn new(permit: OwnedSemaphorePermit, occupancy: Arc<dyn Occupancy>) -> Self {
        occupancy.slots(1);
        Self {
            _permit: permit,
            occupancy,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.occupancy.slots(-1);
    }
}

impl Place {
    fn take(
        waiting: &Arc<AtomicUsize>,
        room: usize,
        occupancy: Arc<dyn Occupancy>,
    ) -> Option<Self> {
        let more = |count: usize| (count < room).then_some(count + 1);
        waiting
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more)
            .ok()?;
        occupancy.queue(1);
        Some(Self {
            waiting: Arc::clone(waiting),
            occupancy,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.occupancy.queue(-1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use futures_util::FutureExt;

    use super::*;

    #[derive(Debug, Default)]
    struct Gauges([AtomicI64; 2]);

    impl Gauges {
        fn read(&self) -> [i64; 2] {
            [0, 1].map(|at| self.0[at].load(Ordering::SeqCst))
        }
    }

    impl Occupancy for Gauges {
        fn slots(&self, change: i64) {
            self.0[0].fetch_add(change, Ordering::SeqCst);
        }
        fn queue(&self, change: i64) {
            self.0[1].fetch_add(change, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn slots_go_first_come_first_served_and_never_leak() {
        let gauges = Arc::new(Gauges::default());
        let slots = Slots::new(1, 2, Arc::clone(&gauges) as Arc<dyn Occupancy>);
        let first = slots.queue().unwrap().await.unwrap();
        let mut second = slots.queue().unwrap();
        let mut third = slots.queue().unwrap();
        assert!(slots.queue().is_none());
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        assert_eq!((slots.free(), slots.waiting()), (0, 2));
        assert!((slots.load() - 1.0).abs() < 1e-9);
        assert_eq!(gauges.read(), [1, 2]);
        drop(first);
        assert!((&mut third).now_or_never().is_none());
        let second = second.now_or_never().flatten().unwrap();
        drop(third);
        assert_eq!(slots.waiting(), 0);
        drop(second);
        assert_eq!((slots.free(), slots.busy()), (1, 0));
        assert_eq!(gauges.read(), [0, 0]);
    }
}
