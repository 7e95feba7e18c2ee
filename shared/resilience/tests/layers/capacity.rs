use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use touchstone_error::{Classify, ErrorKind};
use touchstone_resilience::layers::{Balanced, stack};
use touchstone_resilience::random::Draws;
use touchstone_resilience::upstream::Config;
use touchstone_resilience::{Action, Class, Rejected, limit};
use tower::Service;

use crate::world::{Plan, Server, World, millis, request, upstream};

fn of_class(class: Class) -> Request<Full<Bytes>> {
    let mut request = request(Method::GET, "");
    request.extensions_mut().insert(class);
    request
}

fn small(most: u32, queue: u32) -> Config {
    let mut config = Config::default();
    config.bulkhead.most = most;
    config.bulkhead.queue = queue;
    config
}

#[tokio::test(start_paused = true)]
async fn a_place_is_kept_until_the_body_has_ended_or_is_dropped() {
    let server = Server::always(Plan::Stall);
    let world = World::new(&small(1, 0), &server);
    let mut stack = world.stack.clone();
    let response = stack.call(of_class(Class::Interactive)).await.unwrap();
    let refused = stack.call(of_class(Class::Interactive)).await;
    let Err(error) = refused else {
        panic!("there was one place")
    };
    assert!(error.to_string().contains("policy"), "{error}");
    drop(response);
    server.then(Plan::Echo);
    assert_eq!(world.get().await.unwrap(), 200);
    assert_eq!(world.get().await.unwrap(), 200);
    assert_eq!(world.upstream.snapshot().bulkhead.in_flight, [0; 4]);
    assert_eq!(world.ledger.count(Action::Shed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_at_most_a_tenth_of_a_second() {
    let server = Server::new(|n| Plan::After(millis(if n == 0 { 60 } else { 500 })));
    let world = World::new(&small(1, 2), &server);
    let started = Instant::now();
    let (first, second, third) = tokio::join!(world.get(), world.get(), world.get());
    assert_eq!((first.unwrap(), second.unwrap()), (200, 200));
    let shed = third.unwrap_err();
    let crate::world::Error::Rejected(shed) = shed else {
        panic!("{shed}")
    };
    assert!(matches!(shed, Rejected::Overloaded { .. }), "{shed}");
    assert_eq!(shed.kind(), ErrorKind::Unavailable);
    let retry_after = shed.retry_after().unwrap();
    assert!((millis(500)..millis(1500)).contains(&retry_after));
    assert_eq!(started.elapsed(), millis(560));
    assert_eq!(server.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_leaves_the_queue_or_its_place_frees_it() {
    let server = Server::always(Plan::Hang);
    let world = World::new(&small(1, 1), &server);
    let first = tokio::time::timeout(millis(50), world.get());
    let second = tokio::time::timeout(millis(20), world.get());
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_err() && second.is_err());
    let bulkhead = world.upstream.snapshot().bulkhead;
    assert_eq!((bulkhead.in_flight, bulkhead.queued), ([0; 4], [0; 4]));
    // The first leaves, and the one that waits gets its place although nothing else happens.
    let first = tokio::time::timeout(millis(50), world.get());
    let second = tokio::time::timeout(millis(90), world.get());
    let _ = tokio::join!(first, second);
    assert_eq!(server.calls(), 3);
}

/// Works on so many calls at once, in order of arrival, and knows no limit.
#[derive(Clone)]
struct Queue {
    workers: Arc<Semaphore>,
    draws: Arc<Draws>,
    mean: Duration,
}

impl Service<Request<Full<Bytes>>> for Queue {
    type Response = Response<Full<Bytes>>;
    type Error = Rejected;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Rejected>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Rejected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        let (workers, takes) = (Arc::clone(&self.workers), self.draws.around(self.mean, 0.5));
        Box::pin(async move {
            let _worker = workers.acquire().await.unwrap();
            tokio::time::sleep(takes).await;
            Ok(Response::new(Full::new(Bytes::from_static(b"done"))))
        })
    }
}

/// Three times what an upstream can do, through all layers, for half a minute.
#[tokio::test(start_paused = true)]
async fn three_times_too_much_demand_keeps_goodput_and_latency() {
    let (workers, mean) = (20u32, millis(20));
    let queue = Queue {
        workers: Arc::new(Semaphore::new(workers as usize)),
        draws: Arc::new(Draws::new(4)),
        mean,
    };
    let mut config = small(256, 16);
    config.limit = Some(limit::Config::default());
    let (upstream, _) = upstream(&config);
    let stack = stack(Balanced::single(upstream.clone(), queue));
    let good = Arc::new(AtomicU64::new(0));
    let times = Arc::new(Mutex::new(VecDeque::new()));
    let mut calls = tokio::task::JoinSet::new();
    let draws = Draws::new(8);
    let (warm_up, seconds) = (10u64, 30u64);
    let capacity = f64::from(workers) / mean.as_secs_f64();
    let begin = Instant::now();
    let mut at = 0.0;
    while at < (warm_up + seconds) as f64 {
        at += -(1.0 - draws.unit()).ln() / (3.0 * capacity);
        tokio::time::sleep_until(begin + Duration::from_secs_f64(at)).await;
        let (mut stack, good, times) = (stack.clone(), Arc::clone(&good), Arc::clone(&times));
        calls.spawn(async move {
            let started = Instant::now();
            let Ok(response) = stack.call(of_class(Class::Interactive)).await else {
                return;
            };
            response.into_body().collect().await.unwrap();
            if started.duration_since(begin).as_secs() >= warm_up {
                good.fetch_add(1, Ordering::SeqCst);
                times.lock().unwrap().push_back(started.elapsed());
            }
        });
        while calls.try_join_next().is_some() {}
    }
    calls.join_all().await;
    let share = good.load(Ordering::SeqCst) as f64 / seconds as f64 / capacity;
    assert!(share >= 0.9, "goodput {share} of capacity, {upstream:?}");
    let mut times: Vec<Duration> = times.lock().unwrap().drain(..).collect();
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    // Three times the slowest service without any queue.
    assert!(p99 <= 3 * millis(30) + millis(10), "{p99:?}");
}
