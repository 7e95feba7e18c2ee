//! Who may use the account: Telegram burns a session that is used from two addresses at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use touchstone_error::chain;
use touchstone_types::Clock;

use super::Instance;
use crate::store::Leases;

/// How long a lease holds without being extended.
const TIME: Duration = Duration::from_secs(15);

/// How often it is extended, and asked for by those who wait.
pub(super) const EVERY: Duration = Duration::from_secs(4);

/// How long the store may take to answer: others write to it, too. Between two extensions that succeed
/// one may fail.
const ANSWER: Duration = Duration::from_secs(3);

/// The lease of an account.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub leases: Arc<dyn Leases>,
    /// Name of the account, which tells nothing of its key.
    pub account: String,
    /// Who has it.
    pub instance: Arc<Instance>,
    pub clock: Arc<dyn Clock>,
}

/// Whose the lease is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Ours. It was asked for then, and its time runs since: nobody knows how long the answer took.
    Ours(Instant),
    /// Another instance's.
    Theirs,
    /// Nobody could say.
    Unknown,
}

impl Lease {
    /// Takes or extends it.
    pub(super) async fn hold(&self) -> Whose {
        let (asked, now) = (Instant::now(), self.clock.now());
        let held = self
            .leases
            .hold(&self.account, self.instance.id(), now, TIME);
        match tokio::time::timeout(ANSWER, held).await {
            Ok(Ok(true)) => Whose::Ours(asked),
            Ok(Ok(false)) => Whose::Theirs,
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "the lease of the account cannot be had");
                Whose::Unknown
            }
            Err(_) => Whose::Unknown,
        }
    }

    /// Extends what was asked for at `asked` until it is lost, or may be.
    pub(super) async fn keep(&self, mut asked: Instant) {
        let mut next = asked + EVERY;
        loop {
            tokio::time::sleep_until(next).await;
            match self.hold().await {
                Whose::Ours(again) => {
                    asked = again;
                    next = again + EVERY;
                }
                Whose::Theirs => return,
                // Before the time is over, since nobody else waits longer.
                Whose::Unknown if asked.elapsed() + EVERY + ANSWER >= TIME => return,
                Whose::Unknown => next = Instant::now() + EVERY,
            }
        }
    }

    /// Gives it back, so that another instance need not wait.
    pub(super) async fn release(&self) {
        let released = self.leases.release(&self.account, self.instance.id());
        // Without an answer it runs out by itself.
        let _ = tokio::time::timeout(ANSWER, released).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use chrono::{DateTime, Utc};
    use touchstone_store::Error;
    use touchstone_types::FrozenClock;
    use uuid::Uuid;

    use super::*;

    /// Leases that are always had at once, or never answer; when they were asked for.
    #[derive(Debug)]
    struct Asked {
        started: Instant,
        at: Mutex<Vec<u64>>,
        answers: u64,
    }

    #[async_trait]
    impl Leases for Asked {
        async fn hold(
            &self,
            _: &str,
            _: Uuid,
            _: DateTime<Utc>,
            _: Duration,
        ) -> Result<bool, Error> {
            let count = {
                let mut at = self.at.lock().unwrap();
                at.push(self.started.elapsed().as_secs());
                at.len() as u64
            };
            if count > self.answers {
                std::future::pending::<()>().await;
            }
            Ok(true)
        }

        async fn release(&self, _: &str, _: Uuid) -> Result<(), Error> {
            Ok(())
        }
    }

    fn lease(answers: u64) -> (Lease, Arc<Asked>) {
        let asked = Arc::new(Asked {
            started: Instant::now(),
            at: Mutex::default(),
            answers,
        });
        let folder = tempfile::tempdir().unwrap();
        let lease = Lease {
            leases: asked.clone(),
            account: "account".into(),
            instance: Arc::new(Instance::of(folder.path(), Uuid::from_u128(1))),
            clock: Arc::new(FrozenClock::default()),
        };
        (lease, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_extended_by_the_time_when_it_was_asked_for() {
        let (lease, asked) = lease(u64::MAX);
        let Whose::Ours(since) = lease.hold().await else {
            panic!("nobody else has it");
        };
        // Making the connection took its time.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let kept = tokio::time::timeout(Duration::from_secs(9), lease.keep(since));
        assert!(kept.await.is_err(), "it is kept");
        assert_eq!(*asked.at.lock().unwrap(), [0, 10, 14, 18]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_cannot_be_extended_is_given_up_before_others_may_have_it() {
        for answers in 1..4 {
            let (lease, asked) = lease(answers);
            let Whose::Ours(since) = lease.hold().await else {
                panic!("nobody else has it");
            };
            lease.keep(since).await;
            let last = asked.at.lock().unwrap()[answers as usize - 1];
            let held = asked.started.elapsed().as_secs() - last;
            assert!(held < TIME.as_secs(), "{held} s since it was last extended");
            assert!(held > 7, "one failure is no loss: {held} s");
        }
    }
}
