//! Waiting for a moment. The runtime's timers are right to a millisecond, which is too coarse for a
//! schedule; a thread of its own wakes the shard in time.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Waits for moments.
#[derive(Debug)]
pub enum Pacer {
    /// By the runtime's timers, which tests can pause.
    Timer,
    /// By a thread.
    Thread {
        /// Tells it the next moment.
        next: Sender<std::time::Instant>,
        /// Told by it.
        woken: Arc<Notify>,
    },
}

/// The thread is asked for what is nearer than this; what is further waits by timer before.
const NEAR: Duration = Duration::from_millis(20);
/// What is nearer than this is now: waking up takes as long.
const NOW: Duration = Duration::from_micros(30);

impl Pacer {
    /// With a thread; by timer when there cannot be one.
    pub fn thread() -> Self {
        let (next, moments) = channel();
        let woken = Arc::new(Notify::new());
        let waker = Arc::clone(&woken);
        let spawned = std::thread::Builder::new()
            .name("load-pacer".into())
            .spawn(move || wake(&moments, &waker));
        match spawned {
            Ok(_) => Self::Thread { next, woken },
            Err(_) => Self::Timer,
        }
    }

    /// Returns at `moment`, or at once when that has passed.
    pub async fn until(&self, moment: Instant) {
        let Self::Thread { next, woken } = self else {
            tokio::time::sleep_until(moment).await;
            return;
        };
        let mut left = moment.saturating_duration_since(Instant::now());
        if left > NEAR {
            tokio::time::sleep_until(moment - NEAR / 2).await;
            left = moment.saturating_duration_since(Instant::now());
        }
        if left > NOW && next.send(moment.into_std()).is_ok() {
            woken.notified().await;
        }
    }
}

fn wake(moments: &Receiver<std::time::Instant>, woken: &Notify) {
    while let Ok(moment) = moments.recv() {
        let left = moment.saturating_duration_since(std::time::Instant::now());
        std::thread::sleep(left.saturating_sub(NOW));
        woken.notify_one();
    }
}
