//! The server is killed, frozen, wiped or cut off while three replicas are under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use touchstone_cache::quota::{Algorithm, Away, Policy, QuotaStore, RedisQuotas, Tier};
use touchstone_lifecycle::Lifecycle;
use touchstone_test_services::Exclusive;
use touchstone_testing::faults::{Fault, TcpProxy};

use crate::support::{PATIENCE, acquainted, fresh_name, rule, shared, strict, unsettled, window};

const LIMIT: u32 = 600;
/// Longer than a test takes: all of it lies in one trailing period.
const PERIOD: Duration = Duration::from_hours(10);

/// Three replicas that are asked all the time.
struct Load {
    stores: Vec<Arc<RedisQuotas>>,
    life: Lifecycle,
    stop: Arc<AtomicBool>,
    admitted: Arc<AtomicU64>,
    by_share: Arc<AtomicU64>,
    asked: Arc<AtomicU64>,
    slowest: Arc<AtomicU64>,
}

impl Load {
    async fn start(server: &str, policy: Policy) -> Self {
        let life = Lifecycle::new();
        // As in production but for the deadline, which a machine that also compiles must keep.
        let uri = format!("{server}?timeout=100ms&prefix={}", fresh_name());
        let stores: Vec<_> = ["r1", "r2", "r3"]
            .map(|name| unsettled(&uri, name, Algorithm::Strict, &life))
            .into();
        for store in &stores {
            shared(store).await;
        }
        acquainted(&stores).await;
        let load = Self {
            stores,
            life,
            stop: Arc::default(),
            admitted: Arc::default(),
            by_share: Arc::default(),
            asked: Arc::default(),
            slowest: Arc::default(),
        };
        let policy = Arc::new(policy);
        for store in &load.stores {
            let (store, policy) = (Arc::clone(store), Arc::clone(&policy));
            let (stop, admitted) = (Arc::clone(&load.stop), Arc::clone(&load.admitted));
            let (by_share, asked) = (Arc::clone(&load.by_share), Arc::clone(&load.asked));
            let slowest = Arc::clone(&load.slowest);
            load.life.spawn("load", async move {
                while !stop.load(Ordering::Acquire) {
                    let started = Instant::now();
                    let decision = store.charge("s", &policy, 1).await.unwrap();
                    let took = started.elapsed().as_millis() as u64;
                    slowest.fetch_max(took, Ordering::AcqRel);
                    asked.fetch_add(1, Ordering::AcqRel);
                    if decision.verdict.is_admitted() {
                        admitted.fetch_add(1, Ordering::AcqRel);
                        let share = u64::from(decision.tier == Tier::Share);
                        by_share.fetch_add(share, Ordering::AcqRel);
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
        load.until("a quarter is spent", || {
            load.admitted() > u64::from(LIMIT) / 4
        })
        .await;
        load
    }

    fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::Acquire)
    }

    async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let wait = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(
            tokio::time::timeout(PATIENCE, wait).await.is_ok(),
            "never: {what}"
        );
    }

    /// While the server is away: the shares are spent, and nothing fails.
    async fn spend_shares(&self) {
        self.until("a share was admitted", || {
            self.by_share.load(Ordering::Acquire) > 0
        })
        .await;
        let asked = self.asked.load(Ordering::Acquire);
        self.until("replicas went on", || {
            self.asked.load(Ordering::Acquire) > asked + 150
        })
        .await;
    }

    /// All replicas are back; how long that took.
    async fn back(&self) -> Duration {
        let started = Instant::now();
        for store in &self.stores {
            shared(store).await;
        }
        started.elapsed()
    }

    /// Spends what is left, stops, and tells how much was admitted in all.
    async fn end(self, what: &str, took: Duration) {
        self.until("the limit was reached", || {
            let before = self.admitted();
            std::thread::sleep(Duration::from_millis(50));
            before == self.admitted() && before >= u64::from(LIMIT) * 9 / 10
        })
        .await;
        let asked = self.asked.load(Ordering::Acquire);
        self.until("denials went on", || {
            self.asked.load(Ordering::Acquire) > asked + 100
        })
        .await;
        self.stop.store(true, Ordering::Release);
        let (admitted, by_share) = (self.admitted(), self.by_share.load(Ordering::Acquire));
        let slowest = self.slowest.load(Ordering::Acquire);
        eprintln!(
            "{what}: {admitted} of {LIMIT} admitted, {by_share} of them by shares, shared again \
             after {took:?}, slowest decision {slowest} ms"
        );
        assert!(
            admitted <= u64::from(LIMIT) * 11 / 10,
            "{admitted} of {LIMIT}"
        );
        assert!(by_share > 0, "the fault hit nothing");
        // The promise is 2 s, on a machine that has nothing else to do.
        let promise = match std::env::var_os("TOUCHSTONE_FULL") {
            Some(_) => Duration::from_secs(2),
            None => Duration::from_secs(10),
        };
        assert!(took < promise, "{took:?}");
        let report = self.life.shutdown(PATIENCE).await;
        assert!(report.is_clean(), "{report:?}");
    }
}

fn policy() -> Policy {
    strict(vec![window("w", LIMIT, PERIOD)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_comes_back_empty_and_is_told_all() {
    let Some(server) = Exclusive::redis().await else {
        return;
    };
    let load = Load::start(server.url(), policy()).await;
    server.kill().await;
    load.spend_shares().await;
    server.restart().await;
    let took = load.back().await;
    load.end("killed", took).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_froze_is_told_what_it_missed() {
    let Some(server) = Exclusive::redis().await else {
        return;
    };
    let load = Load::start(server.url(), policy()).await;
    server.freeze().await;
    load.spend_shares().await;
    server.thaw().await;
    let took = load.back().await;
    load.end("frozen", took).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_cut_off_is_told_what_it_missed() {
    let Some(server) = Exclusive::redis().await else {
        return;
    };
    let proxy = TcpProxy::start(server.address()).await;
    let load = Load::start(&proxy.url("redis"), policy()).await;
    proxy.set(Fault::Blackhole).await;
    load.spend_shares().await;
    assert!(proxy.hits() > 0, "the fault touched nothing");
    proxy.set(Fault::None).await;
    let took = load.back().await;
    load.end("cut off", took).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_wiped_is_told_all_at_once() {
    let Some(server) = Exclusive::redis().await else {
        return;
    };
    let load = Load::start(server.url(), policy()).await;
    let admitted = load.admitted();
    server.wipe().await;
    load.until("something was admitted after it", || {
        load.admitted() > admitted + 30
    })
    .await;
    let replays: u64 = load.stores.iter().map(|store| store.counts().replays).sum();
    assert!(replays > 0, "nobody noticed");
    load.until("the limit was reached", || {
        let before = load.admitted();
        std::thread::sleep(Duration::from_millis(50));
        before == load.admitted()
    })
    .await;
    load.stop.store(true, Ordering::Release);
    let admitted = load.admitted();
    eprintln!("wiped: {admitted} of {LIMIT} admitted");
    assert!(
        admitted <= u64::from(LIMIT) * 11 / 10,
        "{admitted} of {LIMIT}"
    );
    load.life.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn without_a_server_each_replica_admits_its_share_or_what_the_policy_says() {
    let life = Lifecycle::new();
    // Nobody listens there.
    let store = unsettled("redis://127.0.0.1:1", "r1", Algorithm::Strict, &life);
    let policy = |scope: &str, away: Away| {
        let rule = rule(scope, vec![window("w", 10, PERIOD)]);
        Policy::new(scope.to_owned(), Algorithm::Strict, vec![rule]).away(away)
    };
    for (scope, away, expected) in [("share", Away::Share, 10), ("whole", Away::Whole, 10)] {
        let policy = policy(scope, away);
        let mut passed = 0;
        for _ in 0..30 {
            let decision = store.charge("s", &policy, 1).await.unwrap();
            passed += usize::from(decision.verdict.is_admitted());
            assert_eq!(decision.tier, Tier::Share);
        }
        // Alone as far as it knows; never more than the limit.
        assert_eq!(passed, expected, "{scope}");
    }
    let closed = policy("closed", Away::Closed);
    let refusal = store.charge("s", &closed, 1).await.unwrap_err();
    assert!(!refusal.retry_after.is_zero());
    life.shutdown(PATIENCE).await;
}
