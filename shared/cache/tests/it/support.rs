use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use touchstone_cache::Cache;
use touchstone_cache::quota::{
    Algorithm, MemoryQuotas, Mode, Policy, QuotaStore, RedisQuotas, Rule, SharedOptions, Window,
};
use touchstone_cache::redis::Connection;
use touchstone_lifecycle::Lifecycle;

/// How long to wait for what must happen.
pub const PATIENCE: Duration = Duration::from_mins(1);

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A name that no other test of this run uses, nor an earlier run on the same server.
pub fn fresh_name() -> String {
    let started = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    format!("t{started}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A URI of keys of its own on `server`, with a deadline that a busy machine keeps.
pub fn uri(server: &str, timeout: &str) -> String {
    format!("{server}?timeout={timeout}&prefix={}", fresh_name())
}

/// The cache on the shared server.
pub async fn redis_cache() -> Option<Arc<dyn Cache>> {
    let server = touchstone_test_services::redis().await?;
    let uri = uri(server.url(), "30s");
    let connection = Connection::open(&uri).unwrap();
    assert!(connection.settled(PATIENCE).await);
    Some(Arc::new(touchstone_cache::redis::RedisCache::new(
        connection,
    )))
}

/// A store under test, with its tasks.
pub struct Store {
    pub quotas: Arc<dyn QuotaStore>,
    pub life: Lifecycle,
}

/// A store in memory; an option, as those that need a server are.
#[expect(clippy::unnecessary_wraps, reason = "one macro for all stores")]
pub fn memory() -> Option<Store> {
    Some(Store {
        quotas: Arc::new(MemoryQuotas::new(1000)),
        life: Lifecycle::new(),
    })
}

pub async fn redis() -> Option<Store> {
    let server = touchstone_test_services::redis().await?;
    let life = Lifecycle::new();
    let quotas = replica(&uri(server.url(), "30s"), "r1", &life).await;
    Some(Store { quotas, life })
}

/// A replica that the server counts for.
pub async fn replica(uri: &str, name: &str, life: &Lifecycle) -> Arc<RedisQuotas> {
    let store = unsettled(uri, name, Algorithm::Strict, life);
    shared(&store).await;
    store
}

pub fn unsettled(
    uri: &str,
    name: &str,
    algorithm: Algorithm,
    life: &Lifecycle,
) -> Arc<RedisQuotas> {
    let options = SharedOptions {
        algorithm,
        beat: Duration::from_millis(200),
        ..SharedOptions::new(name)
    };
    RedisQuotas::start(Connection::open(uri).unwrap(), options, life)
}

/// Waits until the server counts.
pub async fn shared(store: &RedisQuotas) {
    let mut mode = store.mode();
    let shared = mode.wait_for(|mode| *mode == Mode::Shared);
    tokio::time::timeout(PATIENCE, shared)
        .await
        .expect("the server counts")
        .unwrap();
}

/// Waits until each replica knows of all of them.
pub async fn acquainted(stores: &[Arc<RedisQuotas>]) {
    let all = async {
        while stores
            .iter()
            .any(|store| store.replicas() != stores.len() as u64)
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all)
        .await
        .expect("replicas know of each other");
}

pub fn window(name: &str, limit: u32, period: Duration) -> Window {
    Window {
        name: name.into(),
        limit,
        period,
        burst: limit,
    }
}

pub fn rule(scope: &str, windows: Vec<Window>) -> Rule {
    Rule {
        scope: scope.into(),
        windows,
    }
}

/// Strict windows, all under one key.
pub fn strict(windows: Vec<Window>) -> Policy {
    Policy::new("p", Algorithm::Strict, vec![rule("all", windows)])
}
