//! More demand than a service can take, on paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use http::StatusCode;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{Mode, Stack};

/// What the service does at a time, and how long it takes for each: 800 a second.
const WORKERS: usize = 8;
const WORK: Duration = Duration::from_millis(10);
const CAPACITY: usize = 800;
/// Three times as much arrives, in steps.
const STEP: Duration = Duration::from_millis(5);
const ARRIVALS: usize = 3 * CAPACITY / 200;
/// What comes later is of no use to anybody.
const USEFUL: Duration = Duration::from_millis(250);
/// Half of the capacity is asked for at first, by which the limit learns what is usual.
const CALM: Duration = Duration::from_secs(1);
/// The begin of the storm is not counted either.
const WARM: Duration = Duration::from_secs(3);
const MEASURED: Duration = Duration::from_secs(2);

/// A service that takes everything and works it off one after the other.
fn greedy(worked: &Arc<AtomicUsize>) -> Router {
    let (workers, worked) = (Arc::new(Semaphore::new(WORKERS)), Arc::clone(worked));
    Router::new().fallback(move || {
        let (workers, worked) = (Arc::clone(&workers), Arc::clone(&worked));
        async move {
            let _worker = workers.acquire().await.unwrap();
            tokio::time::sleep(WORK).await;
            worked.fetch_add(1, Ordering::AcqRel);
            "whole"
        }
    })
}

/// Useful answers per measured second of demand that is three times the capacity, the slowest useful
/// one, and the answers by status.
async fn under_demand(adaptive: u32) -> (usize, [usize; 2]) {
    let worked = Arc::default();
    let stack = Stack::with(Mode::InProcess, [("document", greedy(&worked))], |config| {
        config.upstreams.adaptive = adaptive;
        config.cache.enabled = false;
        // All of them come from nowhere, and the limit by address knows no paused time.
        config.quota.limits.address.per_second = 0;
    })
    .await;
    let begin = Instant::now();
    let mut calls = JoinSet::new();
    let mut number = 0;
    while begin.elapsed() < WARM + MEASURED {
        let calm = begin.elapsed() < CALM;
        for _ in 0..if calm { ARRIVALS / 6 } else { ARRIVALS } {
            let (client, path) = (stack.client(), format!("/documents/{number}"));
            number += 1;
            calls.spawn(async move {
                let arrived = Instant::now();
                let answer = client.get(&path).await;
                (arrived, answer.status, arrived.elapsed())
            });
        }
        tokio::time::sleep(STEP).await;
    }
    let (mut useful, mut statuses) = (0, [0, 0]);
    for (arrived, status, took) in calls.join_all().await {
        let is_whole = status == StatusCode::OK;
        assert!(
            is_whole || status == StatusCode::SERVICE_UNAVAILABLE,
            "{status}"
        );
        statuses[usize::from(!is_whole)] += 1;
        let is_measured = arrived >= begin + WARM;
        useful += usize::from(is_measured && is_whole && took <= USEFUL);
    }
    assert!(worked.load(Ordering::Acquire) >= statuses[0]);
    if adaptive > 0 {
        let decisions: Value = stack
            .operator()
            .get("/admin/decisions?policy=bulkhead&limit=1")
            .await
            .json();
        assert_eq!(decisions["items"][0]["action"], "shed", "{decisions}");
    }
    stack.stop().await;
    (useful / MEASURED.as_secs() as usize, statuses)
}

#[tokio::test(start_paused = true)]
async fn three_times_too_much_demand_keeps_the_goodput() {
    let (useful, [whole, shed]) = under_demand(128).await;
    assert!(
        useful * 10 >= CAPACITY * 9,
        "{useful} of {CAPACITY} a second"
    );
    assert!(shed > whole, "{whole} whole, {shed} shed");
}

/// What the limit is for: the same demand without it. Keeps the test above from passing for a reason
/// of its own.
#[tokio::test(start_paused = true)]
async fn without_a_limit_the_same_demand_ruins_it() {
    let (useful, _) = under_demand(0).await;
    assert!(useful * 2 < CAPACITY, "{useful} of {CAPACITY} a second");
}
