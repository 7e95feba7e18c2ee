//! A gateway that calls a service that calls a service that calls a backend, with a breaker at each step:
//! how soon after the end of a failure everything is answered again.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::Instant;
use touchstone_api::headers::{DEADLINE, FAILED_BELOW};
use touchstone_error::Classify;
use touchstone_resilience::layers::{Balanced, CallError, stack};
use touchstone_resilience::random::Draws;
use touchstone_resilience::upstream::Config;
use touchstone_resilience::{Rejected, breaker};
use tower::Service;

use crate::world::{Body, Error, Plan, Server, millis, upstream, within};

/// How long each failure lasts.
const AWAY: Duration = Duration::from_secs(5);
/// Longest call of a client.
const PATIENCE: Duration = Duration::from_secs(15);
const CLIENTS: usize = 3;
/// Failures in turn, each as soon as the one before is over and done with.
const STRIKES: usize = 3;

/// What the services do with the failure of the one behind them, and their breakers.
#[derive(Clone, Copy)]
struct Policy {
    /// They say whose it was.
    tells: bool,
    open_for_most: Duration,
}

const PRESENT: Policy = Policy {
    tells: true,
    open_for_most: Duration::from_secs(5),
};
/// 30 s, and half as much by variation.
const FORMER: Policy = Policy {
    tells: false,
    open_for_most: Duration::from_secs(45),
};

/// What has become of a process.
#[derive(Clone, Copy)]
enum Fate {
    Well,
    /// Its port is closed.
    Gone,
    /// It answers after that.
    FrozenUntil(Instant),
}

type Process = Arc<Mutex<Fate>>;

/// A service that asks the one behind it, within `timeout`.
#[derive(Clone)]
struct Hop<S> {
    process: Process,
    calls: S,
    timeout: Duration,
    tells: bool,
}

impl<S, R> Service<Request<Full<Bytes>>> for Hop<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Error>,
    S: Clone + Send + 'static,
    S::Future: Send,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: std::fmt::Debug,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, asked: Request<Full<Bytes>>) -> Self::Future {
        let mut hop = self.clone();
        Box::pin(async move {
            let fate = *hop.process.lock().unwrap();
            match fate {
                Fate::Well => {}
                Fate::Gone => return Err(Error::Refused),
                Fate::FrozenUntil(thaw) => tokio::time::sleep_until(thaw).await,
            }
            let left = &asked.headers()[DEADLINE];
            let left = millis(left.to_str().unwrap().parse().unwrap());
            let answer = hop.calls.call(within(left.min(hop.timeout))).await;
            let mut told = Response::new(Full::new(Bytes::new()));
            match answer {
                Ok(answer) => {
                    *told.status_mut() = answer.status();
                    let later = answer.headers().get("retry-after").cloned();
                    told.headers_mut()
                        .extend(later.map(|later| (http::header::RETRY_AFTER, later)));
                    answer.into_body().collect().await.unwrap();
                }
                Err(error) => {
                    let is_late = matches!(
                        error.rejected(),
                        Some(Rejected::TimedOut { .. } | Rejected::TooLate { .. })
                    );
                    *told.status_mut() = if is_late {
                        StatusCode::GATEWAY_TIMEOUT
                    } else {
                        StatusCode::SERVICE_UNAVAILABLE
                    };
                    let later = error
                        .rejected()
                        .map_or(Some(millis(1000)), Rejected::retry_after);
                    // In whole seconds, rounded up, as it is told by services.
                    let later = later.map(|later| later.as_millis().div_ceil(1000).to_string());
                    told.headers_mut().extend(
                        later.map(|later| (http::header::RETRY_AFTER, later.parse().unwrap())),
                    );
                }
            }
            if hop.tells && told.status().is_server_error() {
                let below = "whoever".parse().unwrap();
                told.headers_mut().insert(FAILED_BELOW, below);
            }
            Ok(told.map(|body| body.map_err(|never: Infallible| match never {}).boxed()))
        })
    }
}

/// Who is struck and how, in turn.
#[derive(Clone, Copy, Debug)]
struct Strike {
    /// The backend, or one of the two services.
    whom: usize,
    frozen: bool,
}

/// When the last calls of each client ended well.
type Seen = Arc<Mutex<[Option<Instant>; CLIENTS]>>;

/// How long after the end of each of some failures every client was answered well.
async fn recoveries(policy: Policy, seed: u64) -> Vec<Duration> {
    let draws = Draws::new(seed);
    let config = |number: u64| Config {
        breaker: breaker::Config {
            open_for_most: policy.open_for_most,
            ..breaker::Config::default()
        },
        seed: seed ^ (number << 32),
        ..Config::default()
    };
    let backend = Process::new(Mutex::new(Fate::Well));
    let services: [Process; 2] = std::array::from_fn(|_| Process::new(Mutex::new(Fate::Well)));
    let fate = Arc::clone(&backend);
    let server = Server::new(move |_| match *fate.lock().unwrap() {
        Fate::Well => Plan::Echo,
        Fate::Gone => Plan::Refuse,
        Fate::FrozenUntil(thaw) => Plan::After(thaw - Instant::now()),
    });
    let timeout = [millis(2000), millis(10_000)][draws.below(2)];
    let calls = stack(Balanced::single(upstream(&config(1)).0, server));
    let vector = Hop {
        process: Arc::clone(&services[1]),
        calls,
        timeout,
        tells: policy.tells,
    };
    let calls = stack(Balanced::single(upstream(&config(2)).0, vector));
    let retrieval = Hop {
        process: Arc::clone(&services[0]),
        calls,
        timeout,
        tells: policy.tells,
    };
    let gateway = stack(Balanced::single(upstream(&config(3)).0, retrieval));

    let (over, seen) = (Arc::new(AtomicBool::new(false)), Seen::default());
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (mut gateway, over, seen) = (gateway.clone(), Arc::clone(&over), Arc::clone(&seen));
        clients.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                if let Ok(answer) = gateway.call(within(PATIENCE)).await
                    && answer.status().is_success()
                    && answer.into_body().collect().await.is_ok()
                {
                    seen.lock().unwrap()[number] = Some(began);
                }
                tokio::time::sleep(millis(100)).await;
            }
        });
    }
    tokio::time::sleep(draws.up_to(millis(2000))).await;
    let mut recoveries = Vec::new();
    for _ in 0..STRIKES {
        let strike = Strike {
            whom: draws.below(3),
            frozen: draws.below(2) == 0,
        };
        let struck = [&backend, &services[0], &services[1]][strike.whom];
        *struck.lock().unwrap() = if strike.frozen {
            Fate::FrozenUntil(Instant::now() + AWAY)
        } else {
            Fate::Gone
        };
        tokio::time::sleep(AWAY).await;
        *struck.lock().unwrap() = Fate::Well;
        let ended = Instant::now();
        let all_well = |seen: &Seen| {
            let seen = seen.lock().unwrap();
            seen.iter()
                .all(|began| began.is_some_and(|began| began >= ended))
        };
        while !all_well(&seen) {
            assert!(
                ended.elapsed() < Duration::from_mins(10),
                "{strike:?}: never"
            );
            tokio::time::sleep(millis(10)).await;
        }
        recoveries.push(ended.elapsed());
    }
    over.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}
    recoveries
}

fn longest(policy: Policy, seed: u64) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let recoveries = runtime.block_on(recoveries(policy, seed));
    recoveries.into_iter().max().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// One open time, and not one for each breaker.
    #[test]
    fn a_chain_of_breakers_lets_calls_pass_soon_after_the_end_of_a_failure(seed: u64) {
        let longest = longest(PRESENT, seed);
        prop_assert!(longest <= millis(5500), "{longest:?}");
    }
}

#[test]
fn breakers_that_count_what_is_behind_them_hold_each_other_open() {
    let longest = |policy| (0..12).map(|seed| longest(policy, seed)).max().unwrap();
    let (former, present) = (longest(FORMER), longest(PRESENT));
    assert!(former > Duration::from_secs(10), "{former:?}");
    assert!(present <= millis(5500), "{present:?}");
    // Each of the two parts of the policy is needed.
    let silent = longest(Policy {
        tells: false,
        ..PRESENT
    });
    let patient = longest(Policy {
        open_for_most: FORMER.open_for_most,
        ..PRESENT
    });
    assert!(silent > present, "{silent:?}");
    assert!(patient > Duration::from_secs(10), "{patient:?}");
}
