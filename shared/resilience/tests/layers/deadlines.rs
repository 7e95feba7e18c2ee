use std::sync::atomic::Ordering;

use http::Method;
use touchstone_error::{Classify, ErrorKind};
use touchstone_resilience::breaker::State;
use touchstone_resilience::layers::Balanced;
use touchstone_resilience::upstream::Config;
use touchstone_resilience::{Action, Rejected};
use tower::Service;

use crate::world::{Error, Plan, Server, World, millis, request, upstream, within};

fn rejected(error: Error) -> Rejected {
    let Error::Rejected(rejected) = error else {
        unreachable!("{error}")
    };
    rejected
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_the_call_and_tells_the_breaker_if_it_was_patient() {
    let server = Server::always(Plan::Hang);
    let world = World::new(&Config::default(), &server);
    for _ in 0..10 {
        let error = world.call(within(millis(200))).await.unwrap_err();
        let error = rejected(error);
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(!error.never_sent());
    }
    assert_eq!(server.dropped.load(Ordering::SeqCst), 10);
    let breaker = world.balanced.snapshot()[0].breaker;
    assert_eq!(breaker.failed, 0, "callers in a hurry say nothing");
    for _ in 0..5 {
        let _ = world.call(within(millis(2000))).await.unwrap_err();
    }
    let breaker = world.balanced.snapshot()[0].breaker;
    assert_eq!(breaker.state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_says_nothing() {
    let server = Server::always(Plan::Hang);
    let world = World::new(&Config::default(), &server);
    for _ in 0..20 {
        let call = world.call(within(millis(60_000)));
        assert!(tokio::time::timeout(millis(5000), call).await.is_err());
    }
    let breaker = world.balanced.snapshot()[0].breaker;
    assert_eq!((breaker.state, breaker.failed), (State::Closed, 0));
    assert_eq!(server.dropped.load(Ordering::SeqCst), 20);
}

#[tokio::test(start_paused = true)]
async fn a_call_with_less_time_than_usual_is_not_begun() {
    let server = Server::always(Plan::After(millis(100)));
    let world = World::new(&Config::default(), &server);
    for _ in 0..20 {
        world.call(within(millis(1000))).await.unwrap();
    }
    let error = rejected(world.call(within(millis(90))).await.unwrap_err());
    assert_eq!(error.code(), "service.too_late");
    assert_eq!(server.calls(), 20);
    assert_eq!(world.ledger.count(Action::Expired), 1);
    // What is usual is known per method and path: others are not judged by it.
    let mut other = request(Method::GET, "");
    *other.uri_mut() = "/elsewhere".parse().unwrap();
    *other.extensions_mut() = within(millis(90)).extensions().clone();
    let error = rejected(world.call(other).await.unwrap_err());
    assert_eq!(error.code(), "service.timeout");
    assert_eq!(server.calls(), 21);
}

#[tokio::test(start_paused = true)]
async fn retries_stop_when_the_time_is_up() {
    let server = Server::always(Plan::Status(503));
    let mut config = Config::default();
    config.retry.backoff.base = millis(10_000);
    config.retry.backoff.most = millis(10_000);
    config.seed = 3;
    let world = World::new(&config, &server);
    let started = tokio::time::Instant::now();
    let (status, _) = world.call(within(millis(50))).await.unwrap();
    assert_eq!(status, 503);
    assert!(started.elapsed() < millis(50));
    assert_eq!(server.calls(), 1);
    assert_eq!(world.ledger.count(Action::GaveUp), 1);
}

#[tokio::test(start_paused = true)]
async fn the_next_hop_is_told_what_is_left() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let server = Server::always(Plan::Echo);
    let (upstream, _) = upstream(&Config::default());
    let spy = {
        let seen = std::sync::Arc::clone(&seen);
        tower::service_fn(move |request: http::Request<_>| {
            let left = request.headers()["x-deadline-ms"].to_str().unwrap();
            seen.lock().unwrap().push(left.parse::<u64>().unwrap());
            server.clone().call(request)
        })
    };
    let mut stack = touchstone_resilience::layers::stack(Balanced::single(upstream, spy));
    stack.call(within(millis(700))).await.unwrap();
    let mut by_header = request(Method::GET, "");
    let header = "400".parse().unwrap();
    by_header.headers_mut().insert("x-deadline-ms", header);
    stack.call(by_header).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [700, 400]);
}
