//! A service with several instances, some of which fail, are gone, or come and go.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use serde_json::Value;
use touchstone_client::Address;
use touchstone_error::ErrorKind;
use touchstone_lifecycle::Listener;
use touchstone_testing::faults::{Fault, TcpProxy};
use touchstone_web::Problem;

use crate::support::{Mode, Stack};
use crate::upstreams::{Switch, login};

/// A gateway before two instances of auth, each behind a wire of its own.
struct Pair {
    stack: Stack,
    wires: [TcpProxy; 2],
    instances: [Switch; 2],
}

impl Pair {
    async fn start(open_for: Duration) -> Self {
        let stack = Stack::with(Mode::Http, [], |config| {
            config.upstreams.open_for = open_for;
        })
        .await;
        let instances = [Switch::default(), Switch::default()];
        let mut wires = Vec::new();
        for instance in &instances {
            let bound = Listener::bind("auth", ([127, 0, 0, 1], 0).into()).await;
            let listener = bound.unwrap();
            wires.push(TcpProxy::start(listener.address()).await);
            stack.life.serve(listener, instance.router());
        }
        let urls = wires.iter().map(|wire| wire.url("http").parse().unwrap());
        let address = Address::Instances(urls.collect());
        stack.identity.mesh.connect_to("auth", address);
        Self {
            stack,
            wires: wires.try_into().unwrap(),
            instances,
        }
    }

    /// Failures of each instance that its breaker knows of.
    async fn failures(&self) -> Vec<u64> {
        let told: Value = self.stack.operator().get("/admin/upstreams").await.json();
        let instances = told["upstreams"][0]["instances"].as_array().unwrap();
        assert_eq!(instances.len(), 2, "{told}");
        let of = |instance: &Value| instance["breaker"]["failed"].as_u64().unwrap();
        instances.iter().map(of).collect()
    }
}

#[tokio::test]
async fn an_instance_that_fails_costs_few_answers_and_is_left_alone() {
    let pair = Pair::start(Duration::from_mins(10)).await;
    pair.instances[0].set(true);
    let mut failed = 0;
    for _ in 0..300 {
        // A login is never sent twice: what fails is told.
        match login(&pair.stack).await.status {
            StatusCode::OK => {}
            StatusCode::INTERNAL_SERVER_ERROR => failed += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(failed, pair.instances[0].calls());
    assert!((1..=5).contains(&failed), "{failed}");
    assert_eq!(pair.instances[1].calls(), 300 - failed);
    pair.stack.stop().await;
}

#[tokio::test]
async fn reads_of_an_instance_that_fails_are_answered_by_the_other_one() {
    let pair = Pair::start(Duration::from_mins(10)).await;
    pair.wires[0].set(Fault::Reset).await;
    for _ in 0..100 {
        let answer = pair.stack.client().get("/auth/me").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    assert!(pair.wires[0].hits() > 0, "the fault touched nothing");
    assert_eq!(pair.instances[0].calls(), 0);
    // A late one may have had a second attempt.
    assert!((100..=105).contains(&pair.instances[1].calls()));
    pair.stack.stop().await;
}

#[tokio::test]
async fn an_instance_that_is_gone_costs_no_answer_not_even_of_writes() {
    let pair = Pair::start(Duration::from_mins(10)).await;
    pair.wires[0].set(Fault::Refuse).await;
    for _ in 0..100 {
        assert_eq!(login(&pair.stack).await.status, StatusCode::OK);
    }
    assert_eq!(pair.instances[1].calls(), 100);
    let failed = pair.failures().await;
    assert!(failed.contains(&0), "{failed:?}");
    // It was tried, and then hardly any more.
    assert!(
        failed.iter().any(|count| (1..=5).contains(count)),
        "{failed:?}"
    );
    pair.stack.stop().await;
}

#[tokio::test]
async fn an_instance_that_comes_and_goes_costs_no_answer_and_is_used_again() {
    let pair = Pair::start(Duration::from_millis(20)).await;
    for _ in 0..3 {
        pair.wires[0].set(Fault::Refuse).await;
        for _ in 0..20 {
            assert_eq!(login(&pair.stack).await.status, StatusCode::OK);
        }
        pair.wires[0].set(Fault::None).await;
        let before = pair.instances[0].calls();
        let used_again = async {
            while pair.instances[0].calls() == before {
                assert_eq!(login(&pair.stack).await.status, StatusCode::OK);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(crate::support::PATIENCE, used_again).await;
        waited.expect("the instance is used again");
    }
    assert!(pair.wires[0].hits() > 0, "the fault touched nothing");
    pair.stack.stop().await;
}

#[tokio::test]
async fn all_instances_failing_are_asked_no_more_often_than_they_were_offered() {
    let pair = Pair::start(Duration::from_mins(10)).await;
    for instance in &pair.instances {
        instance.set(true);
    }
    let mut refused = 0;
    for _ in 0..200 {
        let answer = pair.stack.client().get("/auth/me").await;
        assert!(answer.status.is_server_error(), "{}", answer.text());
        refused += usize::from(answer.status == StatusCode::SERVICE_UNAVAILABLE);
    }
    let calls: usize = pair.instances.iter().map(Switch::calls).sum();
    // Five in a row for each; then nobody is asked.
    assert!(calls <= 10, "{calls}");
    assert!(refused >= 190, "{refused}");
    pair.stack.stop().await;
}

/// Every seventh attempt fails, which is too little for a breaker and must not be seen by readers.
#[tokio::test]
async fn retries_hide_what_fails_now_and_then_and_cost_little() {
    let attempts = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&attempts);
    let shaky = Router::new().fallback(move |request: Request| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        async move { shaky(request.method(), number) }
    });
    let stack = Stack::start(Mode::InProcess, [("auth", shaky)]).await;
    for _ in 0..300 {
        let answer = stack.client().get("/auth/me").await;
        assert_eq!(answer.text(), "whole");
    }
    let attempts = attempts.load(std::sync::atomic::Ordering::Acquire);
    assert!((340..=360).contains(&attempts), "{attempts} for 300");
    let retried: Value = stack
        .operator()
        .get("/admin/decisions?policy=retry&limit=1000")
        .await
        .json();
    let retried = retried["items"].as_array().unwrap();
    assert_eq!(retried.len(), attempts - 300);
    assert!(retried.iter().all(|one| one["action"] == "retried"));
    stack.stop().await;
}

fn shaky(method: &Method, number: usize) -> Response {
    assert_eq!(method, Method::GET);
    match number % 7 {
        6 => Problem::new(ErrorKind::Unavailable, "auth.busy", "later").into_response(),
        _ => "whole".into_response(),
    }
}
