//! Services that are slow: deadlines, and breakers.

use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use touchstone_testing::faults::Fault;

use crate::upstreams::{login, until, wired};

#[tokio::test]
async fn a_wire_slower_than_the_deadline_ends_calls_in_time_and_opens_the_breaker() {
    let (stack, proxy, auth) = wired(|config| {
        // Whoever waited less than a second was in a hurry, which says nothing about the service.
        config.classes.auth.deadline = Duration::from_millis(1100);
        config.upstreams.open_for = Duration::from_secs(2);
    })
    .await;
    assert_eq!(login(&stack).await.status, StatusCode::OK);
    let delay = Duration::from_mins(1);
    proxy.set(Fault::Latency { delay }).await;
    for answer in join_all((0..5).map(|_| login(&stack))).await {
        assert_eq!(answer.problem(), "504 request.deadline");
    }
    assert!(proxy.hits() > 0, "the fault touched nothing");
    let refused = login(&stack).await;
    assert_eq!(refused.problem(), "503 gateway.breaker_open");
    assert_eq!(auth.calls(), 1, "nothing arrived while the wire was slow");
    proxy.set(Fault::None).await;
    until(&stack, StatusCode::OK).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_caller_in_a_hurry_is_no_failure_of_the_service() {
    let (stack, proxy, _) = wired(|config| {
        config.classes.auth.deadline = Duration::from_millis(50);
        config.upstreams.open_for = Duration::from_mins(10);
    })
    .await;
    let delay = Duration::from_mins(1);
    proxy.set(Fault::Latency { delay }).await;
    for answer in join_all((0..20).map(|_| login(&stack))).await {
        assert_eq!(answer.problem(), "504 request.deadline");
    }
    assert!(proxy.hits() > 0, "the fault touched nothing");
    proxy.set(Fault::None).await;
    // Nothing is refused: a breaker that opened would stay open for longer than the test lasts.
    until(&stack, StatusCode::OK).await;
    stack.stop().await;
}

#[tokio::test]
async fn answers_that_all_begin_late_open_the_breaker_although_none_fails() {
    let (stack, proxy, _) = wired(|config| {
        config.upstreams.slow_start = Duration::from_millis(20);
        config.upstreams.open_for = Duration::from_mins(10);
    })
    .await;
    let delay = Duration::from_millis(30);
    proxy.set(Fault::Latency { delay }).await;
    // Twenty calls say enough.
    for answer in join_all((0..20).map(|_| login(&stack))).await {
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(login(&stack).await.problem(), "503 gateway.breaker_open");
    let decisions = stack
        .operator()
        .get("/admin/decisions?policy=breaker")
        .await;
    let decisions = decisions.text();
    assert!(decisions.contains("slow_share"), "{decisions}");
    stack.stop().await;
}
