use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use touchstone_resilience::Action;
use touchstone_resilience::breaker::State;
use touchstone_resilience::layers::Repeatable;
use touchstone_resilience::upstream::Config;

use crate::world::{Error, Plan, Server, World, millis, request};

/// Fails so many times, then answers.
fn failing(times: u64, plan: Plan) -> Server {
    Server::new(move |n| if n < times { plan } else { Plan::Echo })
}

async fn calls_of(request: Request<Full<Bytes>>, plan: Plan) -> (u64, Result<u16, Error>) {
    let server = failing(1, plan);
    let world = World::new(&Config::default(), &server);
    let answer = world.call(request).await;
    (server.calls(), answer.map(|(status, _)| status))
}

#[tokio::test(start_paused = true)]
async fn only_what_may_be_repeated_is() {
    let mut keyed = request(Method::POST, "body");
    keyed
        .headers_mut()
        .insert("idempotency-key", "1".parse().unwrap());
    let mut reading = request(Method::POST, "body");
    reading.extensions_mut().insert(Repeatable);
    for (request, plan, calls) in [
        (request(Method::GET, ""), Plan::Status(503), 2),
        (request(Method::DELETE, ""), Plan::Status(502), 2),
        (request(Method::PUT, "body"), Plan::Break, 2),
        (request(Method::POST, "body"), Plan::Status(503), 1),
        (request(Method::POST, "body"), Plan::Break, 1),
        (request(Method::PATCH, "body"), Plan::Status(504), 1),
        (keyed, Plan::Status(503), 2),
        (reading, Plan::Status(503), 2),
        // The upstream saw nothing of it.
        (request(Method::POST, "body"), Plan::Refuse, 2),
        // Not failures that another attempt could mend.
        (request(Method::GET, ""), Plan::Status(500), 1),
        (request(Method::GET, ""), Plan::Status(429), 1),
        (request(Method::GET, ""), Plan::Status(404), 1),
        // It wants to be left alone for longer than a retry waits.
        (request(Method::GET, ""), Plan::Later(503, 1), 1),
    ] {
        let what = format!("{} {plan:?}", request.method());
        assert_eq!(calls_of(request, plan).await.0, calls, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_body_is_sent_again_and_large_ones_are_not_kept() {
    let server = failing(2, Plan::Status(503));
    let world = World::new(&Config::default(), &server);
    let answer = world.call(request(Method::PUT, "the body")).await.unwrap();
    assert_eq!(answer, (200, Bytes::from_static(b"the body")));
    assert_eq!(server.calls(), 3);

    let large: &'static str = Box::leak("x".repeat(64 * 1024 + 1).into_boxed_str());
    let (calls, answer) = calls_of(request(Method::PUT, large), Plan::Status(503)).await;
    assert_eq!((calls, answer.unwrap()), (1, 503));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_repeated_after_the_first_byte() {
    let server = Server::always(Plan::BreakOff);
    let world = World::new(&Config::default(), &server);
    assert!(world.get().await.is_err());
    assert_eq!(server.calls(), 1);
    let breaker = world.balanced.snapshot()[0].breaker;
    assert_eq!((breaker.failed, breaker.succeeded), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_of_the_upstream_is_the_callers() {
    let server = Server::always(Plan::Status(503));
    let world = World::new(&Config::default(), &server);
    assert_eq!(world.get().await.unwrap(), 503);
    assert_eq!(server.calls(), 3);
    // The second failure of this call opens the breaker: the first one's answer is told.
    assert_eq!(world.get().await.unwrap(), 503);
    assert_eq!(server.calls(), 5);
    let breaker = world.balanced.snapshot()[0].breaker;
    assert_eq!(breaker.state, State::Open);
    let refused = world.get().await.unwrap_err();
    assert!(matches!(refused, Error::Rejected(_)), "{refused}");
    assert_eq!(server.calls(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_given_up_and_counts() {
    let server = failing(1, Plan::Hang);
    let mut config = Config::default();
    config.retry.attempt_timeout = Some(millis(300));
    let world = World::new(&config, &server);
    let started = tokio::time::Instant::now();
    assert_eq!(world.get().await.unwrap(), 200);
    let took = started.elapsed();
    assert!((millis(300)..millis(330)).contains(&took), "{took:?}");
    assert_eq!(world.balanced.snapshot()[0].breaker.failed, 1);
}

#[tokio::test(start_paused = true)]
async fn every_retry_and_its_end_is_in_the_ledger() {
    let server = Server::always(Plan::Status(503));
    let world = World::new(&Config::default(), &server);
    let mut request = request(Method::GET, "");
    let id = "request-7".parse().unwrap();
    request.headers_mut().insert("x-request-id", id);
    world.call(request).await.unwrap();
    let told: Vec<_> = world
        .ledger
        .all()
        .into_iter()
        .map(|one| (one.action, one.request_id.unwrap().to_string(), one.state))
        .collect();
    let id = || "request-7".to_owned();
    assert_eq!(
        told,
        [
            (Action::Retried, id(), "attempt 1: answered 503".into()),
            (Action::Retried, id(), "attempt 2: answered 503".into()),
            (
                Action::GaveUp,
                id(),
                "attempt 3: answered 503, no attempt left".into()
            ),
        ]
    );
}

/// A thousand calls a second for half a minute to an upstream that fails completely.
#[tokio::test(start_paused = true)]
async fn a_failing_upstream_is_asked_less_than_it_was_offered() {
    let server = Server::always(Plan::Status(503));
    let mut config = Config::default();
    // Probes fall on whole seconds of the schedule, so that they can be counted.
    config.breaker.jitter = 0.0;
    let world = World::new(&config, &server);
    let offered = 30_000;
    for _ in 0..offered {
        let _ = world.get().await;
        tokio::time::sleep(millis(1)).await;
    }
    // Five failures, then a probe after 0.5, 1, 2 and 4 s, and then every 5 s: nothing else.
    assert!(server.calls() <= 5 + 8, "{}", server.calls());
    assert_eq!(
        world.ledger.count(Action::Probed),
        server.calls() as usize - 5
    );
}

/// The same without a breaker: the budget alone keeps the bound.
#[tokio::test(start_paused = true)]
async fn the_budget_alone_bounds_retries_to_a_fifth() {
    let server = Server::always(Plan::Status(503));
    let mut config = Config::default();
    config.breaker.failures_in_a_row = u32::MAX;
    config.breaker.least_calls = u64::MAX;
    config.retry.budget.floor_per_second = 0;
    let world = std::sync::Arc::new(World::new(&config, &server));
    let offered = 20_000u64;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..offered {
        let world = std::sync::Arc::clone(&world);
        calls.spawn(async move { world.get().await.is_ok() });
        tokio::time::sleep(millis(1)).await;
    }
    calls.join_all().await;
    let ratio = server.calls() as f64 / offered as f64;
    assert!((1.15..=1.2).contains(&ratio), "{ratio}");
}
