//! Three gateways over one real Redis, under load, while Redis is killed, frozen, wiped and cut
//! off: nobody sees a failure, and together they admit what one may.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use touchstone_api_gateway::Config;
use touchstone_test_services::Exclusive;
use touchstone_testing::TestClient;
use touchstone_testing::faults::{Fault, TcpProxy};

use crate::support::{Mode, PATIENCE, Stack};

/// Of a day, so that nothing comes back while a test runs.
const LIMIT: usize = 600;
const SHARED: &str = "touchstone_gateway_quota_mode{mode=\"shared\"} 1";

fn answering() -> Router {
    Router::new().fallback(async || "answered")
}

/// Three gateways, each with its own way to the store.
async fn gateways(stores: &[String; 3], change: impl Fn(&mut Config)) -> Vec<Stack> {
    let mut stacks = Vec::new();
    for (number, store) in stores.iter().enumerate() {
        let services = [("document", answering()), ("embedding", answering())];
        let identity = touchstone_testing::TestIdentity::new();
        // Ids are seeded: each gateway needs another name among its like.
        for _ in 0..number {
            let _: uuid::Uuid = identity.ids.next();
        }
        let stack = Stack::of(identity, Mode::InProcess, services, |config| {
            config.quota.store = store.as_str().into();
            config.quota.replicas = 3;
            "standard".clone_into(&mut config.quota.limits.plan);
            let plan = config.quota.limits.plans.get_mut("standard").unwrap();
            (plan.minute, plan.hour, plan.day) = (0, 0, u32::try_from(LIMIT).unwrap());
            change(config);
        })
        .await;
        stacks.push(stack);
    }
    for stack in &stacks {
        until("the store is shared", async || {
            metrics(stack).await.contains(SHARED)
        })
        .await;
    }
    // Each must know of the others before it reckons with them.
    let caller = &stacks[0].caller;
    let path = format!(
        "/admin/quotas?tenant={}&user={}",
        caller.tenant, caller.user
    );
    for stack in &stacks {
        let operator = stack.operator();
        until("all three know of each other", async || {
            operator.get(&path).await.json::<Value>()["replicas"] == 3
        })
        .await;
    }
    stacks
}

async fn metrics(stack: &Stack) -> String {
    let client = TestClient::anonymous(stack.admin.clone());
    client.get("/metrics").await.text()
}

async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "never: {what}");
}

/// As in production but for the deadline, which a machine that also compiles must keep.
fn uri(server: &str) -> String {
    let name = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    format!("{server}?timeout=100ms&prefix=gateways-{name}")
}

/// Requests of one user at all gateways, all the time.
struct Load {
    stacks: Vec<Stack>,
    calls: JoinSet<()>,
    stop: Arc<AtomicBool>,
    /// Admitted, denied, and anything else.
    counts: Arc<[AtomicUsize; 3]>,
}

impl Load {
    async fn start(stacks: Vec<Stack>) -> Self {
        let (mut calls, stop) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        let counts: Arc<[AtomicUsize; 3]> = Arc::default();
        // The same user everywhere: only operators have another plan, and this one is none.
        let user = stacks[0].identity.caller();
        let token = stacks[0].identity.bearer(&user);
        for stack in &stacks {
            let client = TestClient::new(stack.router.clone(), token.as_str());
            let (stop, counts) = (Arc::clone(&stop), Arc::clone(&counts));
            calls.spawn(async move {
                while !stop.load(Ordering::Acquire) {
                    let kind = match client.get("/documents").await.status {
                        StatusCode::OK => 0,
                        StatusCode::TOO_MANY_REQUESTS => 1,
                        _ => 2,
                    };
                    counts[kind].fetch_add(1, Ordering::AcqRel);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
        let load = Self {
            stacks,
            calls,
            stop,
            counts,
        };
        until("a quarter is spent", async || load.count(0) > LIMIT / 4).await;
        load
    }

    fn count(&self, kind: usize) -> usize {
        self.counts[kind].load(Ordering::Acquire)
    }

    /// Everybody goes on by itself for a while.
    async fn away(&self) {
        for stack in &self.stacks {
            until("the gateway goes on by itself", async || {
                !metrics(stack).await.contains(SHARED)
            })
            .await;
        }
        self.goes_on().await;
    }

    async fn goes_on(&self) {
        let so_far = self.count(0) + self.count(1);
        until("the load went on", async || {
            self.count(0) + self.count(1) > so_far + 100
        })
        .await;
    }

    async fn back(&self) {
        let began = Instant::now();
        for stack in &self.stacks {
            until("the store is shared again", async || {
                metrics(stack).await.contains(SHARED)
            })
            .await;
        }
        eprintln!("shared again after {:?}", began.elapsed());
    }

    /// Spends what is left; nobody got more than that, and nobody saw a failure.
    async fn end(mut self, what: &str) {
        until("nothing is admitted any more", async || {
            let (admitted, denied) = (self.count(0), self.count(1));
            until("denials went on", async || self.count(1) > denied + 100).await;
            admitted == self.count(0)
        })
        .await;
        self.stop.store(true, Ordering::Release);
        while self.calls.join_next().await.is_some() {}
        let (admitted, failed) = (self.count(0), self.count(2));
        eprintln!(
            "{what}: {admitted} of {LIMIT} admitted, {} denied",
            self.count(1)
        );
        assert_eq!(failed, 0, "{what}");
        assert!(admitted <= LIMIT * 11 / 10, "{what}: {admitted} of {LIMIT}");
        assert!(admitted >= LIMIT * 9 / 10, "{what}: {admitted} of {LIMIT}");
        for stack in self.stacks {
            stack.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_the_store_was_killed_and_came_back_empty() {
    let Some(server) = Exclusive::redis().await else {
        return;
    };
    let uri = uri(server.url());
    let load = Load::start(gateways(&[uri.clone(), uri.clone(), uri], |_| ()).await).await;
    server.kill().await;
    load.away().await;
    server.restart().await;
    load.back().await;
    load.end("killed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_the_store_froze_and_was_wiped_afterwards() {
    let Some(server) = Exclusive::redis().await else {
        return;
    };
    let uri = uri(server.url());
    let load = Load::start(gateways(&[uri.clone(), uri.clone(), uri], |_| ()).await).await;
    server.freeze().await;
    load.away().await;
    server.thaw().await;
    load.back().await;
    server.wipe().await;
    load.goes_on().await;
    load.end("frozen and wiped").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_cut_off_from_the_store_goes_on_with_its_share() {
    let Some(server) = Exclusive::redis().await else {
        return;
    };
    let direct = uri(server.url());
    let proxy = TcpProxy::start(server.address()).await;
    let (_, options) = direct.split_once('?').unwrap();
    let behind = format!("{}?{options}", proxy.url("redis"));
    let load = Load::start(gateways(&[behind, direct.clone(), direct], |_| ()).await).await;
    proxy.set(Fault::Blackhole).await;
    let cut_off = &load.stacks[0];
    until("the gateway goes on by itself", async || {
        !metrics(cut_off).await.contains(SHARED)
    })
    .await;
    load.goes_on().await;
    assert!(metrics(&load.stacks[1]).await.contains(SHARED));
    assert!(proxy.hits() > 0, "the fault touched nothing");
    proxy.set(Fault::None).await;
    load.back().await;
    load.end("cut off").await;
}

/// Bursts and batches of several users, as a seed draws them, at whichever gateway: of each user
/// exactly the limit is admitted in the end, with charges in advance and without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adversary_with_batches_at_three_gateways_gets_the_limit_and_no_more() {
    let Some(server) = touchstone_test_services::redis().await else {
        return;
    };
    for leases in [true, false] {
        let uri = uri(server.url()).replace("100ms", "30s");
        let stores = [uri.clone(), uri.clone(), uri];
        let stacks = gateways(&stores, |config| config.quota.leases = leases).await;
        let users = [0; 3].map(|_| {
            let user = stacks[0].identity.caller();
            stacks[0].identity.bearer(&user)
        });
        let draws = touchstone_resilience::random::Draws::new(7);
        let mut calls = JoinSet::new();
        for _ in 0..2000 {
            let stack = &stacks[draws.below(3)];
            let user = draws.below(3);
            let items = match draws.below(4) {
                0 => 2 + draws.below(9),
                _ => 1,
            };
            let client = TestClient::new(stack.router.clone(), users[user].as_str());
            calls.spawn(async move {
                let batch = json!({ "input": vec!["text"; items] });
                let answer = client.post("/v1/embeddings", &batch).await;
                (user, items, answer.status)
            });
        }
        let mut admitted = [0; 3];
        for (user, items, status) in calls.join_all().await {
            match status {
                StatusCode::OK => admitted[user] += items,
                StatusCode::TOO_MANY_REQUESTS => {}
                other => panic!("{other}"),
            }
        }
        // What batches left over, and what gateways give back of what they charged in advance, is
        // spent one by one: all of it, and not one more.
        let began = Instant::now();
        let mut rounds_after = 0;
        while rounds_after < 3 {
            assert!(began.elapsed() < PATIENCE, "{admitted:?} of {LIMIT}");
            for (user, token) in users.iter().enumerate() {
                for stack in &stacks {
                    let client = TestClient::new(stack.router.clone(), token.as_str());
                    while client.get("/documents").await.status == StatusCode::OK {
                        admitted[user] += 1;
                    }
                }
            }
            assert!(admitted.iter().all(|units| *units <= LIMIT), "{admitted:?}");
            rounds_after += usize::from(admitted == [LIMIT; 3]);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        for stack in stacks {
            stack.stop().await;
        }
    }
}
