use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::sync::watch;
use touchstone_lifecycle::Lifecycle;
use touchstone_resilience::gcra::Standing;
use touchstone_resilience::{Instant, Monotonic};

use super::book::Book;
use super::mirror::{Ask, Mirror, Next, Rest};
use super::policy::{Algorithm, Away, Policy};
use super::script::{Answer, Keys, Scripts};
use super::{Closed, Decision, Mode, QuotaStore, Receipt};
use crate::redis::Connection;

/// Replays that are under way at once.
const REPLAYS: usize = 32;
/// When to come back while nothing passes.
const CLOSED: Duration = Duration::from_secs(1);
/// Longest wait for the first word of the server at start.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// How a replica takes part.
#[derive(Clone, Debug)]
pub struct SharedOptions {
    /// The replica's name; no two may have the same.
    pub replica: String,
    /// Replicas to reckon with until the server has told how many there are.
    pub replicas: u64,
    /// Pause between two signs of life.
    pub beat: Duration,
    /// How all limits of the store are meant.
    pub algorithm: Algorithm,
    /// Most subjects that are remembered here.
    pub subjects: usize,
}

impl SharedOptions {
    /// The defaults, for a replica of this name.
    pub fn new(replica: impl Into<String>) -> Self {
        Self {
            replica: replica.into(),
            replicas: 1,
            beat: Duration::from_millis(500),
            algorithm: Algorithm::Strict,
            subjects: 100_000,
        }
    }
}

/// How decisions came about, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Questions to the server, refunds and replays included.
    pub trips: u64,
    /// Decisions without one, from leases and remembered denials.
    pub without: u64,
    /// Decisions by this replica's share.
    pub by_share: u64,
    /// Replays after the server had been away or had lost its state.
    pub replays: u64,
}

/// Quotas that several replicas share through a Redis server.
///
/// While the server is away, each replica admits its share: the limits divided by the replicas that
/// were last alive. When it is back, what was admitted meanwhile is added before it decides again; a
/// server that comes back empty gets all that this replica had admitted.
#[derive(Debug)]
pub struct RedisQuotas {
    connection: Connection,
    options: SharedOptions,
    scripts: Scripts,
    keys: Keys,
    clock: Monotonic,
    book: Book<Mirror>,
    mode: watch::Sender<Mode>,
    replicas: AtomicU64,
    /// The server's clock minus ours, in microseconds; 0 while it is not known.
    offset: AtomicU64,
    /// Subjects that admitted something which the server lacks.
    owing: Subjects,
    /// Subjects with a lease, whose rest goes back when it ends.
    leased: Subjects,
    /// One replay of a subject at a time.
    replaying: tokio::sync::Mutex<()>,
    trips: AtomicU64,
    without: AtomicU64,
    by_share: AtomicU64,
    replays: AtomicU64,
}

impl RedisQuotas {
    /// Quotas over the connection, with a task that keeps the mode, the replicas and the debts.
    pub fn start(connection: Connection, options: SharedOptions, life: &Lifecycle) -> Arc<Self> {
        let keys = Keys::new(&connection.options().prefix);
        let store = Arc::new(Self {
            keys,
            scripts: Scripts::new(),
            clock: Monotonic::start(),
            book: Book::new(options.subjects),
            mode: watch::Sender::new(Mode::Share),
            replicas: AtomicU64::new(options.replicas.max(1)),
            offset: AtomicU64::new(0),
            owing: Mutex::default(),
            leased: Mutex::default(),
            replaying: tokio::sync::Mutex::default(),
            trips: AtomicU64::new(0),
            without: AtomicU64::new(0),
            by_share: AtomicU64::new(0),
            replays: AtomicU64::new(0),
            connection,
            options,
        });
        let (task, stop) = (Arc::clone(&store), life.soft_stop());
        life.spawn("quota.shared", async move {
            if stop.run_until_cancelled(task.keep()).await.is_none() {
                // Others get its share at once.
                let _ = task.beat(false).await;
            }
        });
        store
    }

    /// Waits for the first word of the server, a second at most; whether it counts.
    pub async fn settled(&self) -> bool {
        let mut mode = self.mode.subscribe();
        let shared = mode.wait_for(|mode| *mode == Mode::Shared);
        tokio::time::timeout(FIRST_WORD, shared).await.is_ok()
    }

    /// How decisions came about.
    pub fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            trips: read(&self.trips),
            without: read(&self.without),
            by_share: read(&self.by_share),
            replays: read(&self.replays),
        }
    }

    /// The connection.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn keep(&self) {
        loop {
            self.connection.up().await;
            // First the debts, then the decisions.
            self.pay_debts().await;
            if !self.connection.is_up() || self.beat(true).await.is_err() {
                // Lets the breaker see it; `up` may still be true.
                tokio::time::sleep(self.options.beat / 10).await;
                continue;
            }
            self.mode.send_replace(Mode::Shared);
            tracing::info!("quotas are shared");
            while self.connection.is_up() {
                tokio::select! {
                    () = self.connection.away() => break,
                    () = tokio::time::sleep(self.options.beat) => {}
                }
                self.pay_debts().await;
                self.end_leases().await;
                let _ = self.beat(true).await;
            }
            self.mode.send_replace(Mode::Share);
            let replicas = self.replicas();
            tracing::warn!(replicas, "quotas fall back to this replica's share");
        }
    }

    async fn beat(&self, stays: bool) -> Result<(), crate::redis::Error> {
        // Three missed signs, and a replica counts as gone.
        let lifetime = self.options.beat * 4;
        let (scripts, keys, replica) = (&self.scripts, &self.keys, &self.options.replica);
        let beat = scripts.beat(&self.connection, keys, replica, lifetime, stays);
        let alive = beat.await?;
        if stays {
            self.replicas.store(alive.max(1), Ordering::Relaxed);
        }
        Ok(())
    }

    async fn pay_debts(&self) {
        futures_util::stream::iter(taken(&self.owing))
            .for_each_concurrent(REPLAYS, async |subject| {
                // A replay that was under way leaves out what came after it.
                while self.owes(&subject) {
                    if !self.replay(&subject, None).await {
                        note(&self.owing, &subject);
                        return;
                    }
                }
            })
            .await;
    }

    async fn end_leases(&self) {
        // Many at a time: the next sign of life must not wait for all of them in turn.
        futures_util::stream::iter(taken(&self.leased))
            .for_each_concurrent(REPLAYS, async |subject| {
                let now = self.clock.now();
                let known = self.book.with_known(&subject, |mirror| {
                    let rests = mirror.rests(now);
                    (rests, mirror.is_leased())
                });
                let (rests, leased) = known.unwrap_or_default();
                for rest in rests {
                    self.give_back(&subject, rest).await;
                }
                if leased {
                    note(&self.leased, &subject);
                }
            })
            .await;
    }

    async fn give_back(&self, subject: &str, rest: Rest) {
        self.refund(subject, &rest.policy, rest.receipt, rest.units)
            .await;
    }

    /// Tells the server what it lacks; `lost` is what it was believed to have when it said that it
    /// had not. Whether it has it now.
    async fn replay(&self, subject: &str, lost: Option<(&Policy, &[u64])>) -> bool {
        let _one = match lost {
            Some(_) => Some(self.replaying.lock().await),
            None => None,
        };
        let now = self.clock.now();
        let job = self.book.with_known(subject, |mirror| match lost {
            // Somebody else has just done it.
            Some((policy, born)) if mirror.born(policy, now) != born => None,
            Some(_) => mirror.job(now),
            None => mirror.owes(now).then(|| mirror.job(now)).flatten(),
        });
        let Some(Some(job)) = job else {
            return true;
        };
        self.trips.fetch_add(1, Ordering::Relaxed);
        let replica = &self.options.replica;
        let sent = self.scripts.replay(
            &self.connection,
            &self.keys,
            subject,
            self.options.algorithm,
            replica,
            &job,
            job.older_by(self.clock.now()),
        );
        match sent.await {
            Ok(born) => {
                self.replays.fetch_add(1, Ordering::Relaxed);
                self.book
                    .with_known(subject, |mirror| mirror.done(&job, &born));
                true
            }
            Err(error) => {
                tracing::debug!(error = %error, "a replay did not get through");
                false
            }
        }
    }

    fn owes(&self, subject: &str) -> bool {
        let now = self.clock.now();
        let owes = self.book.with_known(subject, |mirror| mirror.owes(now));
        owes.unwrap_or(false)
    }

    /// When, on the server's clock, a question that is asked now is not waited for any more.
    fn deadline(&self, asked_at: Instant) -> Instant {
        match self.offset.load(Ordering::Relaxed) {
            0 => Instant::ZERO,
            offset => {
                let there = asked_at.as_micros().saturating_add(offset);
                Instant::from_micros(there) + self.connection.options().timeout
            }
        }
    }

    /// The largest offset that the answer allows: a deadline is never too early for that.
    fn learn_offset(&self, asked_at: Instant, there: Instant) {
        let offset = there.as_micros().saturating_sub(asked_at.as_micros());
        self.offset.store(offset, Ordering::Relaxed);
    }

    /// Asks the server; `None` when it did not answer.
    async fn ask(
        &self,
        subject: &str,
        policy: &Policy,
        cost: u64,
        mut ask: Ask,
    ) -> Option<Decision> {
        if *self.mode.borrow() != Mode::Shared {
            return None;
        }
        if let Some(rest) = ask.rest.take() {
            self.give_back(subject, rest).await;
        }
        // Again: a state that was lost is restored before it decides, a clock that was set is learnt.
        for _ in 0..3 {
            let asked_at = self.clock.now();
            self.trips.fetch_add(1, Ordering::Relaxed);
            let answer = self.scripts.charge(
                &self.connection,
                &self.keys,
                subject,
                policy,
                (cost, ask.most),
                &ask.born,
                (Instant::ZERO, self.deadline(asked_at)),
            );
            match answer.await {
                Ok(Answer::Decided(reply)) => {
                    let now = self.clock.now();
                    self.learn_offset(asked_at, reply.now);
                    let (decision, leased) = self.book.with(subject, now, |mirror| {
                        let decision = mirror.after(policy, asked_at, now, cost, &reply);
                        (decision, mirror.is_leased())
                    });
                    if leased {
                        note(&self.leased, subject);
                    }
                    return Some(decision);
                }
                Ok(Answer::Late(there)) => self.learn_offset(asked_at, there),
                Ok(Answer::Lost) => {
                    if !self.replay(subject, Some((policy, &ask.born))).await {
                        note(&self.owing, subject);
                        return None;
                    }
                    let now = self.clock.now();
                    ask.born = self
                        .book
                        .with(subject, now, |mirror| mirror.born(policy, now));
                }
                Err(error) => {
                    tracing::debug!(
                        error = %touchstone_error::chain(&error),
                        "a quota is decided without the server"
                    );
                    return None;
                }
            }
        }
        None
    }
}

type Subjects = Mutex<HashSet<Arc<str>>>;

fn note(subjects: &Subjects, subject: &str) {
    let mut subjects = subjects.lock().unwrap_or_else(PoisonError::into_inner);
    if !subjects.contains(subject) {
        subjects.insert(subject.into());
    }
}

fn taken(subjects: &Subjects) -> HashSet<Arc<str>> {
    std::mem::take(&mut *subjects.lock().unwrap_or_else(PoisonError::into_inner))
}

#[async_trait]
impl QuotaStore for RedisQuotas {
    async fn charge(&self, subject: &str, policy: &Policy, cost: u64) -> Result<Decision, Closed> {
        let now = self.clock.now();
        let replicas = self.replicas();
        let next = self.book.with(subject, now, |mirror| {
            mirror.before(policy, now, cost, replicas)
        });
        let ask = match next {
            Next::Decided(decision) => {
                self.without.fetch_add(1, Ordering::Relaxed);
                return Ok(decision);
            }
            Next::Ask(ask) => ask,
        };
        if let Some(decision) = self.ask(subject, policy, cost, ask).await {
            return Ok(decision);
        }
        if policy.away == Away::Closed {
            return Err(Closed {
                retry_after: CLOSED,
            });
        }
        self.by_share.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.now();
        let decision = self.book.with(subject, now, |mirror| {
            mirror.note_rules(policy, now);
            mirror.alone(policy, now, cost, replicas)
        });
        if decision.verdict.is_admitted() {
            note(&self.owing, subject);
        }
        Ok(decision)
    }

    async fn refund(&self, subject: &str, policy: &Policy, receipt: Receipt, units: u64) {
        self.book
            .with_known(subject, |mirror| mirror.refund(policy, receipt, units));
        if let Some(there) = receipt.there {
            self.trips.fetch_add(1, Ordering::Relaxed);
            let refund = self.scripts.refund(
                &self.connection,
                &self.keys,
                subject,
                policy,
                (there, units),
                Instant::ZERO,
            );
            // Lost, it stays charged until its window has passed.
            let _ = refund.await;
        }
    }

    async fn standings(&self, subject: &str, policy: &Policy) -> Arc<[Standing]> {
        let nothing = [];
        let asked = self.scripts.charge(
            &self.connection,
            &self.keys,
            subject,
            policy,
            (0, 0),
            &nothing,
            (Instant::ZERO, Instant::ZERO),
        );
        if let Ok(Answer::Decided(reply)) = asked.await {
            return reply.standings;
        }
        let (now, replicas) = (self.clock.now(), self.replicas());
        let known = self.book.with_known(subject, |mirror| {
            mirror.alone(policy, now, 0, replicas).standings
        });
        known.unwrap_or_else(|| Mirror::default().alone(policy, now, 0, replicas).standings)
    }

    fn mode(&self) -> watch::Receiver<Mode> {
        self.mode.subscribe()
    }

    fn replicas(&self) -> u64 {
        self.replicas.load(Ordering::Relaxed)
    }

    fn limits_changed(&self) {
        self.book.each(Mirror::limits_changed);
    }
}
