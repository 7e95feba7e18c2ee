//! Bind-first listeners, soft and hard stop, tracked tasks and readiness.
//!
//! The caller owns the sockets and the stop signal: it binds every [`Listener`] first, builds the
//! services with a [`Lifecycle`], then serves. Readiness is awaited through [`Gate`]s, never slept
//! for. Stopping is in two steps: the soft stop ends what waits for new work, the hard stop drops
//! what still runs after the grace period.

mod admission;
mod connection;
mod edge;
mod gate;
mod hang_up;
mod heads;
mod io;
mod listener;
mod pace;
mod serve;
mod tls;
pub mod trial;

pub use edge::{Edge, EdgeMetrics, Reason};
pub use gate::Gate;
pub use hang_up::HangUp;
pub use listener::{BindError, Listener};
pub use pace::Pace;
pub use tls::{Tls, TlsError, provide_cryptography};

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long tasks get to notice the hard stop.
const HARD_STOP_GRACE: Duration = Duration::from_secs(2);

/// Tasks, stop signals and readiness of one stack, seen from one service.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    shared: Arc<Shared>,
    /// Service whose gates [`Lifecycle::waiting_for`] tells; all of them at the root.
    scope: Option<&'static str>,
}

#[derive(Debug)]
struct Shared {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    /// Running tasks by name, so that a shutdown can name those that did not end.
    running: Mutex<BTreeMap<String, usize>>,
    gates: watch::Sender<gate::Gates>,
}

/// How a shutdown went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Tasks that had to be dropped by the hard stop.
    pub dropped: Vec<String>,
    /// Tasks that even the hard stop did not end.
    pub stuck: Vec<String>,
}

impl ShutdownReport {
    /// Whether every task ended by itself.
    pub fn is_clean(&self) -> bool {
        self.dropped.is_empty() && self.stuck.is_empty()
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    /// A stack that has just begun.
    pub fn new() -> Self {
        let shared = Shared {
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            tasks: TaskTracker::new(),
            running: Mutex::default(),
            gates: watch::Sender::default(),
        };
        Self {
            shared: Arc::new(shared),
            scope: None,
        }
    }

    /// The same stack, seen from `service`.
    pub fn service(&self, service: &'static str) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            scope: Some(service),
        }
    }

    /// Runs a task until it ends or the hard stop drops it. A panic is logged and closes a gate
    /// of the task's name, so that readiness tells.
    pub fn spawn<F>(&self, name: impl Into<String>, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (name, life) = (name.into(), self.clone());
        let gate = name.clone();
        self.track(name, task, move || life.gate(gate).close("panicked"));
    }

    /// As [`Lifecycle::spawn`] for work on behalf of one client: a panic ends that work and is
    /// logged, and the service stays ready for everybody else.
    pub fn spawn_for_client<F>(&self, name: impl Into<String>, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.track(name.into(), task, || ());
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that spawns, and tracks it"
    )]
    fn track<F>(&self, name: String, task: F, after_panic: impl FnOnce() + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let life = self.clone();
        life.count(&name, 1);
        let tracked = self.shared.tasks.track_future(async move {
            let hard = life.shared.hard.clone();
            let run = AssertUnwindSafe(hard.run_until_cancelled_owned(task)).catch_unwind();
            if run.await.is_err() {
                tracing::error!(task.name = name, "task `{name}` panicked");
                after_panic();
            }
            life.count(&name, -1);
        });
        tokio::spawn(tracked);
    }

    /// Cancelled when the stack stops taking new work.
    pub fn soft_stop(&self) -> CancellationToken {
        self.shared.soft.clone()
    }

    /// Cancelled when everything must be dropped.
    pub fn hard_stop(&self) -> CancellationToken {
        self.shared.hard.clone()
    }

    /// A condition of readiness, closed until opened.
    pub fn gate(&self, name: impl Into<String>) -> Gate {
        Gate::new(self.shared.gates.clone(), self.scope, name.into())
    }

    /// What this service (or, at the root, the whole stack) still waits for.
    pub fn waiting_for(&self) -> Vec<String> {
        gate::waiting_for(&self.shared.gates.borrow(), self.scope)
    }

    /// Resolves when every gate in sight is open.
    pub async fn ready(&self) {
        let mut gates = self.shared.gates.subscribe();
        // The sender lives in `self`, so the wait ends only by the condition.
        let _ = gates
            .wait_for(|gates| gate::waiting_for(gates, self.scope).is_empty())
            .await;
    }

    /// Stops: softly, and after `grace` hard. Tells which tasks did not end by themselves.
    pub async fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.shared.soft.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(grace, self.shared.tasks.wait())
            .await
            .is_ok()
        {
            return ShutdownReport {
                dropped: Vec::new(),
                stuck: Vec::new(),
            };
        }
        let dropped = self.running();
        self.shared.hard.cancel();
        let stuck = match tokio::time::timeout(HARD_STOP_GRACE, self.shared.tasks.wait()).await {
            Ok(()) => Vec::new(),
            Err(_) => self.running(),
        };
        ShutdownReport { dropped, stuck }
    }

    fn running(&self) -> Vec<String> {
        let running = self
            .shared
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        running.keys().cloned().collect()
    }

    fn count(&self, name: &str, change: isize) {
        let mut running = self
            .shared
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = running.entry(name.to_owned()).or_default();
        *count = count.saturating_add_signed(change);
        if *count == 0 {
            running.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readiness_waits_for_every_gate_of_the_service() {
        let life = Lifecycle::new();
        let (vector, auth) = (life.service("vector"), life.service("auth"));
        let index = vector.gate("index");
        assert_eq!(vector.waiting_for(), ["index"]);
        assert_eq!(life.waiting_for(), ["vector.index"]);
        assert!(auth.waiting_for().is_empty());
        let waiting = tokio::join!(life.ready(), async { index.open() });
        assert_eq!(waiting, ((), ()));
        index.close("rebuilding");
        assert_eq!(vector.waiting_for(), ["index: rebuilding"]);
    }

    #[tokio::test]
    async fn soft_stop_lets_tasks_finish() {
        let life = Lifecycle::new();
        let stop = life.soft_stop();
        life.spawn("polite", async move { stop.cancelled().await });
        assert!(life.shutdown(Duration::from_mins(1)).await.is_clean());
    }

    #[tokio::test(start_paused = true)]
    async fn hard_stop_drops_and_names_the_deaf() {
        let life = Lifecycle::new();
        life.spawn("deaf", std::future::pending());
        let report = life.shutdown(Duration::from_secs(1)).await;
        assert_eq!(
            (report.dropped, report.stuck),
            (vec!["deaf".to_owned()], vec![])
        );
    }

    #[tokio::test]
    async fn a_panic_is_told_by_readiness() {
        let life = Lifecycle::new();
        life.spawn("fragile", async { panic!("on purpose") });
        life.shutdown(Duration::from_mins(1)).await;
        assert_eq!(life.waiting_for(), ["fragile: panicked"]);
    }
}
