//! Clients over real sockets, through proxies that fail on command.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::StreamExt;
use http::Method;
use touchstone_client::{ClientError, Mesh, Protection, ServiceClient};
use touchstone_error::{Classify, ErrorKind};
use touchstone_identity::{Caller, ServiceKey};
use touchstone_lifecycle::{Lifecycle, Listener};
use touchstone_resilience::breaker::State;
use touchstone_testing::faults::{Fault, TcpProxy};
use touchstone_types::{IdSource, SystemClock};

/// A service behind a proxy, and what it saw.
struct Instance {
    proxy: TcpProxy,
    calls: Arc<AtomicU64>,
    /// Answers in this order, over and over.
    plan: Arc<std::sync::Mutex<Vec<u16>>>,
}

impl Instance {
    async fn start(life: &Lifecycle) -> Self {
        let calls = Arc::<AtomicU64>::default();
        let plan = Arc::new(std::sync::Mutex::new(vec![200]));
        let answer = {
            let (calls, plan) = (Arc::clone(&calls), Arc::clone(&plan));
            move || {
                let number = calls.fetch_add(1, Ordering::SeqCst) as usize;
                let plan = plan.lock().unwrap();
                let status = StatusCode::from_u16(plan[number % plan.len()]).unwrap();
                std::future::ready((status, "1").into_response())
            }
        };
        let routes = Router::new()
            .route("/ready", get(answer.clone()))
            .route("/work", get(answer.clone()).post(answer.clone()))
            .route("/stream", post(stream));
        let listener = Listener::bind("sample", ([127, 0, 0, 1], 0).into()).await;
        let listener = listener.unwrap();
        let address: SocketAddr = listener.address();
        life.serve(listener, routes);
        Self {
            proxy: TcpProxy::start(address).await,
            calls,
            plan,
        }
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    fn then(&self, plan: &[u16]) {
        *self.plan.lock().unwrap() = plan.to_vec();
    }
}

/// 100 KiB in slow pieces.
async fn stream() -> Response {
    let pieces = futures_util::stream::iter(0..100).then(|n: u32| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok::<_, std::io::Error>(vec![n as u8; 1024])
    });
    Body::from_stream(pieces).into_response()
}

struct World {
    instances: Vec<Instance>,
    mesh: Mesh,
    client: ServiceClient,
    caller: Caller,
    life: Lifecycle,
}

impl World {
    async fn new(count: usize) -> Self {
        Self::with(count, &Protection::default()).await
    }

    async fn with(count: usize, protection: &Protection) -> Self {
        let life = Lifecycle::new();
        let mut instances = Vec::new();
        for _ in 0..count {
            instances.push(Instance::start(&life).await);
        }
        let clock = Arc::new(SystemClock);
        let key = ServiceKey::new(&[7; 32]).unwrap();
        let mesh = Mesh::protected(key, clock.clone(), *protection);
        let urls: Vec<String> = instances
            .iter()
            .map(|instance| instance.proxy.url("http"))
            .collect();
        mesh.connect_to("sample", urls.join(",").parse().unwrap());
        let client = ServiceClient::new(mesh.clone(), "test", "sample");
        let caller = Caller::service("test", IdSource::seeded(clock, 1).next());
        Self {
            instances,
            mesh,
            client,
            caller,
            life,
        }
    }

    async fn read(&self) -> Result<u64, ClientError> {
        self.client.read(&self.caller, "/work", &()).await
    }

    async fn search(&self) -> Result<u64, ClientError> {
        self.client.search(&self.caller, "/work", &()).await
    }

    async fn write(&self) -> Result<u64, ClientError> {
        self.client
            .call(&self.caller, Method::POST, "/work", Some(&()))
            .await
    }

    fn state(&self, instance: usize) -> State {
        self.mesh.snapshot()[0].instances[instance].breaker.state
    }
}

#[tokio::test]
async fn one_dead_instance_of_three_costs_no_caller_an_answer() {
    let mut protection = Protection::default();
    // What failed looks slow beside the others for a shorter time than it usually does.
    protection.policies.balance.decay = Duration::from_millis(100);
    for fault in [Fault::Refuse, Fault::Reset] {
        let world = World::with(3, &protection).await;
        for _ in 0..30 {
            world.read().await.unwrap();
        }
        let dead = &world.instances[1];
        dead.proxy.set(fault).await;
        for n in 0..300 {
            assert_eq!(world.read().await.unwrap(), 1, "{fault:?}, call {n}");
        }
        assert!(dead.proxy.hits() > 0, "the fault was met");
        // It comes back, and takes part again.
        dead.proxy.set(Fault::None).await;
        let before = dead.calls();
        let begin = Instant::now();
        while dead.calls() == before {
            world.read().await.unwrap();
            assert!(begin.elapsed() < Duration::from_mins(1), "{fault:?}");
        }
        world.life.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn what_was_never_sent_goes_to_another_instance_even_if_it_writes() {
    let world = World::new(2).await;
    world.instances[0].proxy.set(Fault::Refuse).await;
    for _ in 0..100 {
        world.write().await.unwrap();
    }
    assert_eq!(world.instances[1].calls(), 100);
}

#[tokio::test]
async fn a_write_that_may_have_arrived_is_never_sent_twice() {
    let world = World::new(1).await;
    let only = &world.instances[0];
    world.write().await.unwrap();
    // The request arrives, and its answer does not.
    only.proxy.set(Fault::Cut { after_bytes: 0 }).await;
    let before = only.calls();
    let mut sent = 0;
    for _ in 0..3 {
        let error = world.write().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        sent += 1;
    }
    assert!(only.proxy.hits() >= 3);
    assert_eq!(only.calls() - before, sent);
    // The same for a read: three attempts, as long as the breaker lets them pass.
    world.read().await.unwrap_err();
    assert!(only.calls() - before > sent);
}

#[tokio::test]
async fn an_upstream_that_fails_completely_is_spared() {
    let world = World::new(1).await;
    let only = &world.instances[0];
    only.then(&[503]);
    let offered = 2000;
    let begin = Instant::now();
    for _ in 0..offered {
        assert_eq!(
            world.read().await.unwrap_err().kind(),
            ErrorKind::Unavailable
        );
    }
    let asked = only.calls();
    // Five failures, then one probe in each of the times that it stays open, the first of which
    // are at least 0.25, 0.5 and 1 s.
    let most = 5 + begin.elapsed().as_secs() * 2 + 2;
    assert!(asked <= most, "{asked} of {offered}, {:?}", begin.elapsed());
    assert!(only.calls() <= offered * 12 / 10);
    assert_eq!(world.state(0), State::Open);

    only.then(&[200]);
    let begin = Instant::now();
    while world.read().await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(begin.elapsed() < Duration::from_secs(46));
    }
    assert_eq!(world.state(0), State::Closed);
}

#[tokio::test]
async fn an_upstream_that_fails_half_of_the_time_is_stopped_within_twenty_one_calls() {
    let world = World::new(1).await;
    let only = &world.instances[0];
    only.then(&[200, 500]);
    let mut answered = 0;
    while world.state(0) == State::Closed {
        answered += 1;
        assert!(answered <= 21, "the breaker must have opened");
        let _ = world.write().await;
    }
    let error = world.write().await.unwrap_err();
    assert_eq!(error.code(), "service.breaker_open");
    assert!(error.retry_after().is_some());
    assert_eq!(only.calls(), answered);
}

#[tokio::test]
async fn a_slow_upstream_costs_its_deadline_and_no_more() {
    let mut world = World::new(1).await;
    let delay = Duration::from_millis(400);
    world.read().await.unwrap();
    world.instances[0].proxy.set(Fault::Latency { delay }).await;
    let begin = Instant::now();
    let patient = world.caller.clone();
    world.caller = patient.within(Duration::from_millis(100));
    assert_eq!(world.read().await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(begin.elapsed() < delay);
    assert!(world.instances[0].proxy.hits() > 0);
    // A caller in a hurry is no proof: others are still served.
    assert_eq!(world.state(0), State::Closed);
    world.caller = patient;
    world.read().await.unwrap();
}

#[tokio::test]
async fn a_silent_instance_is_left_after_the_time_of_an_attempt() {
    let mut config = Protection::default();
    config.policies.retry.attempt_timeout = Some(Duration::from_millis(200));
    let world = World::with(2, &config).await;
    for _ in 0..20 {
        world.read().await.unwrap();
    }
    let silent = &world.instances[0].proxy;
    silent.set(Fault::Blackhole).await;
    let begin = Instant::now();
    // It may have looked slow for a while, and is asked again when that has faded.
    while silent.hits() == 0 {
        world.read().await.unwrap();
        assert!(begin.elapsed() < Duration::from_mins(1));
    }
    for _ in 0..40 {
        world.read().await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_not_repeated_and_counts() {
    let world = World::new(1).await;
    let only = &world.instances[0];
    let open = || {
        world
            .client
            .open(&world.caller, Method::POST, "/stream", None::<&()>)
    };
    let mut whole = open().await.unwrap().into_body().into_data_stream();
    let mut bytes = 0;
    while let Some(piece) = whole.next().await {
        bytes += piece.unwrap().len();
    }
    assert_eq!(bytes, 100 * 1024);

    let connections = only.proxy.connections();
    only.proxy
        .set(Fault::Cut {
            after_bytes: 150_000,
        })
        .await;
    let mut cut = open().await.unwrap().into_body().into_data_stream();
    let mut ended = None;
    while let Some(piece) = cut.next().await {
        ended = piece.err();
    }
    assert!(ended.is_some(), "the end of the stream is an error");
    assert_eq!(only.proxy.hits(), 1);
    assert_eq!(only.proxy.connections(), connections, "no other attempt");
    let seen = world.mesh.snapshot();
    assert_eq!(seen[0].instances[0].breaker.failed, 1);
    assert_eq!(seen[0].upstream.bulkhead.in_flight, [0; 4]);
}

#[tokio::test]
async fn an_upstream_that_flaps_recovers_each_time() {
    let world = World::new(1).await;
    let only = &world.instances[0];
    for round in 0..2 {
        only.proxy.set(Fault::Refuse).await;
        let begin = Instant::now();
        while world.state(0) == State::Closed {
            let _ = world.read().await;
            assert!(begin.elapsed() < Duration::from_secs(20));
        }
        only.proxy.set(Fault::None).await;
        let begin = Instant::now();
        while world.read().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert!(begin.elapsed() < Duration::from_secs(10), "round {round}");
        }
    }
}

#[tokio::test]
async fn a_name_is_looked_up_and_its_instances_are_used() {
    let world = World::new(1).await;
    let port = world.instances[0].proxy.addr().port();
    let address = format!("dns://localhost:{port}");
    world.mesh.connect_to("sample", address.parse().unwrap());
    let error = world.read().await.unwrap_err();
    assert_eq!(error.code(), "service.no_instance");
    let follow = world.mesh.clone().follow_names();
    let found = async {
        while world.read().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let patience = tokio::time::sleep(Duration::from_secs(20));
    tokio::select! {
        () = follow => {}
        () = found => {}
        () = patience => {}
    }
    assert_eq!(world.read().await.unwrap(), 1);
}

#[tokio::test]
async fn a_search_at_a_silent_instance_is_answered_by_another_one() {
    let mut protection = Protection::default();
    protection.policies.hedge.share = 0.5;
    let world = World::with(2, &protection).await;
    let metrics = touchstone_telemetry::Metrics::new();
    world.mesh.show(&metrics);
    for _ in 0..60 {
        world.search().await.unwrap();
    }
    // What is usual is reckoned anew ten times a second at most.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let silent = &world.instances[0].proxy;
    silent.set(Fault::Blackhole).await;
    let begin = Instant::now();
    while silent.hits() == 0 {
        assert_eq!(world.search().await.unwrap(), 1);
        assert!(begin.elapsed() < Duration::from_mins(1));
    }
    let shown = metrics.scope("sample").encode();
    let labels = "policy=\"hedge\",action=\"hedged\",upstream=\"sample\"";
    let hedged = format!("touchstone_mesh_decisions_total{{{labels}}}");
    assert!(shown.contains(&hedged), "{shown}");
}

#[tokio::test]
async fn what_is_retried_and_who_is_ejected_is_shown_by_every_service() {
    let mut protection = Protection::default();
    // What failed looks slow beside the other one, and is asked seldom.
    protection.policies.balance.decay = Duration::from_millis(100);
    let world = World::with(2, &protection).await;
    let metrics = touchstone_telemetry::Metrics::new();
    world.mesh.show(&metrics);
    world.instances[0].then(&[503]);
    while world.state(0) == State::Closed {
        world.read().await.unwrap();
    }
    for service in ["sample", "other"] {
        let shown = metrics.scope(service).encode();
        for (metric, labels, value) in [
            (
                "decisions_total",
                "policy=\"retry\",action=\"retried\"",
                None,
            ),
            (
                "decisions_total",
                "policy=\"breaker\",action=\"opened\"",
                Some(1),
            ),
            ("instances", "state=\"asked\"", Some(1)),
            ("instances", "state=\"ejected\"", Some(1)),
        ] {
            let line = shown.lines().find(|line| {
                line.starts_with(&format!("touchstone_mesh_{metric}{{"))
                    && line.contains(labels)
                    && line.contains("upstream=\"sample\"")
            });
            let line = line.unwrap_or_else(|| panic!("{metric} {labels}: {shown}"));
            let shows = value.is_none_or(|value: u32| line.ends_with(&format!(" {value}")));
            assert!(shows, "{line}");
        }
    }
}
