//! Services that fail, are slow, fail half of the time, or come and go: what callers see, and how
//! much the service is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::StatusCode;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use touchstone_error::ErrorKind;
use touchstone_lifecycle::Listener;
use touchstone_testing::Answer;
use touchstone_testing::faults::{Fault, TcpProxy};
use touchstone_web::Problem;

use crate::support::{Mode, PATIENCE, Stack, over_both_transports};

over_both_transports!(
    a_service_that_fails_is_asked_little_and_comes_back_by_a_probe,
    a_service_that_fails_half_of_the_time_is_not_asked_any_more,
    a_service_that_passes_on_the_failure_of_another_is_asked_on,
    streams_that_break_off_open_the_breaker,
    what_may_not_be_repeated_is_not,
    a_request_that_may_be_repeated_is_tried_again,
    more_than_the_places_is_refused_at_once,
    a_client_that_leaves_gives_its_place_back_and_is_no_failure,
);

/// A service that fails while the switch is on, and counts.
#[derive(Clone, Default)]
pub struct Switch {
    fails: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
}

impl Switch {
    pub fn router(&self) -> Router {
        let switch = self.clone();
        Router::new().fallback(move || {
            let switch = switch.clone();
            async move {
                switch.calls.fetch_add(1, Ordering::AcqRel);
                if switch.fails.load(Ordering::Acquire) {
                    failure()
                } else {
                    "whole".into_response()
                }
            }
        })
    }

    pub fn set(&self, fails: bool) {
        self.fails.store(fails, Ordering::Release);
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Acquire)
    }
}

fn failure() -> Response {
    Problem::new(ErrorKind::Internal, "auth.internal", "broken").into_response()
}

pub async fn login(stack: &Stack) -> Answer {
    stack.anonymous().post("/auth/login", &json!({})).await
}

/// Asks until the answer is `wanted`.
pub async fn until(stack: &Stack, wanted: StatusCode) {
    let asking = async {
        while login(stack).await.status != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap();
}

async fn a_service_that_fails_is_asked_little_and_comes_back_by_a_probe(mode: Mode) {
    let auth = Switch::default();
    auth.set(true);
    let stack = Stack::with(mode, [("auth", auth.router())], |config| {
        config.upstreams.open_for = Duration::from_millis(200);
    })
    .await;
    for _ in 0..5 {
        assert_eq!(login(&stack).await.problem(), "500 auth.internal");
    }
    let calls = auth.calls();
    assert_eq!(calls, 5);
    let refused = login(&stack).await;
    assert_eq!(refused.problem(), "503 gateway.breaker_open");
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(auth.calls(), calls);
    let metrics = stack.identity.metrics.scope("gateway").encode();
    let labels = "policy=\"breaker\",action=\"opened\",upstream=\"auth\"";
    let opened = &format!("touchstone_mesh_decisions_total{{{labels}}} 1");
    assert!(metrics.contains(opened), "{metrics}");
    auth.set(false);
    until(&stack, StatusCode::OK).await;
    // One probe, and from then on everybody.
    assert_eq!(login(&stack).await.status, StatusCode::OK);
    stack.stop().await;
}

async fn a_service_that_fails_half_of_the_time_is_not_asked_any_more(mode: Mode) {
    let auth = Switch::default();
    let stack = Stack::with(mode, [("auth", auth.router())], |config| {
        config.upstreams.open_for = Duration::from_mins(1);
    })
    .await;
    for number in 0..100 {
        auth.set(number % 2 == 0);
        let answer = login(&stack).await;
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            assert_eq!(answer.problem(), "503 gateway.breaker_open");
        }
    }
    // Twenty calls say enough; one more may be under way.
    assert!((20..=21).contains(&auth.calls()), "{}", auth.calls());
    stack.stop().await;
}

async fn a_service_that_passes_on_the_failure_of_another_is_asked_on(mode: Mode) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let auth = Router::new().fallback(move || {
        count.fetch_add(1, Ordering::AcqRel);
        async {
            let mut told =
                Problem::new(ErrorKind::Unavailable, "auth.away", "later").into_response();
            let below = http::HeaderValue::from_static("document");
            told.headers_mut().insert("x-failed-below", below);
            told
        }
    });
    let stack = Stack::start(mode, [("auth", auth)]).await;
    for number in 1..=30 {
        let answer = login(&stack).await;
        assert_eq!(answer.problem(), "503 auth.away");
        assert_eq!(calls.load(Ordering::Acquire), number);
        // Who called whom is between the services.
        assert!(!answer.headers.contains_key("x-failed-below"));
    }
    stack.stop().await;
}

async fn streams_that_break_off_open_the_breaker(mode: Mode) {
    let breaking = Router::new().fallback(async || {
        // What is under way is sent before the wire is cut.
        let cut = futures_util::stream::once(async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Err(std::io::Error::other("the wire is cut"))
        });
        let first = futures_util::stream::iter([Ok("data: 1\n\n")]);
        let body = Body::from_stream(first.chain(cut));
        ([("content-type", "text/event-stream")], body)
    });
    let stack = Stack::with(mode, [("generation", breaking)], |config| {
        config.upstreams.open_for = Duration::from_mins(1);
    })
    .await;
    let ask = async || {
        stack
            .client()
            .post("/v1/chat/completions", &json!({}))
            .await
    };
    for _ in 0..5 {
        let broken = ask().await;
        assert_eq!(broken.status, StatusCode::OK);
        assert!(
            broken.text().contains("gateway.service_broke_off"),
            "{}",
            broken.text()
        );
    }
    assert_eq!(ask().await.problem(), "503 gateway.breaker_open");
    stack.stop().await;
}

async fn what_may_not_be_repeated_is_not(mode: Mode) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let busy = Router::new().fallback(move || {
        count.fetch_add(1, Ordering::AcqRel);
        async { Problem::new(ErrorKind::Unavailable, "document.busy", "later") }
    });
    let stack = Stack::start(mode, [("document", busy)]).await;
    let posted = stack.client().post("/documents", &json!({})).await;
    assert_eq!(
        (posted.problem().as_str(), calls.load(Ordering::Acquire)),
        ("503 document.busy", 1)
    );
    stack.stop().await;
}

async fn a_request_that_may_be_repeated_is_tried_again(mode: Mode) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let flaky = Router::new().fallback(move |body: String| {
        let number = count.fetch_add(1, Ordering::AcqRel);
        async move {
            match number % 2 {
                0 => Problem::new(ErrorKind::Unavailable, "document.busy", "later").into_response(),
                _ => body.into_response(),
            }
        }
    });
    let stack = Stack::start(mode, [("document", flaky)]).await;
    assert_eq!(
        stack.client().get("/documents/1").await.status,
        StatusCode::OK
    );
    let request = axum::extract::Request::post("/documents")
        .header("idempotency-key", "k")
        .header("content-length", "5")
        .body(Body::from("twice"))
        .unwrap();
    let answer = stack.client().send(request).await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (StatusCode::OK, "twice")
    );
    assert_eq!(calls.load(Ordering::Acquire), 4);
    stack.stop().await;
}

async fn more_than_the_places_is_refused_at_once(mode: Mode) {
    let (gate, entered) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (waiting, count) = (Arc::clone(&gate), Arc::clone(&entered));
    let slow = Router::new().fallback(move || {
        let waiting = Arc::clone(&waiting);
        count.fetch_add(1, Ordering::AcqRel);
        async move {
            waiting.acquire().await.unwrap().forget();
            "whole"
        }
    });
    let stack = Stack::with(mode, [("document", slow)], |config| {
        config.upstreams.places = 2;
        config.upstreams.adaptive = 0;
        config.upstreams.queue = 0;
    })
    .await;
    let client = stack.client();
    // Uploads may use half of the two places, reads both.
    let empty = json!({});
    let first = client.post("/documents", &empty);
    let rest = async {
        while entered.load(Ordering::Acquire) < 1 {
            tokio::task::yield_now().await;
        }
        let shed = client.post("/documents", &json!({})).await;
        assert_eq!(shed.problem(), "503 gateway.overloaded");
        assert!(shed.headers.contains_key("retry-after"));
        let (read, ()) = tokio::join!(client.get("/documents/1"), async {
            while entered.load(Ordering::Acquire) < 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(
                client.get("/documents/2").await.problem(),
                "503 gateway.overloaded"
            );
            gate.add_permits(2);
        });
        assert_eq!(read.text(), "whole");
    };
    let (first, ()) = tokio::join!(first, rest);
    assert_eq!(first.text(), "whole");
    gate.add_permits(1);
    assert_eq!(client.post("/documents", &json!({})).await.text(), "whole");
    stack.stop().await;
}

async fn a_client_that_leaves_gives_its_place_back_and_is_no_failure(mode: Mode) {
    let entered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&entered);
    let hanging = Router::new().fallback(move || {
        let number = count.fetch_add(1, Ordering::AcqRel);
        async move {
            if number < 20 {
                std::future::pending::<()>().await;
            }
            "whole"
        }
    });
    let stack = Stack::with(mode, [("generation", hanging)], |config| {
        config.upstreams.places = 2;
        config.upstreams.queue = 0;
    })
    .await;
    let address = stack.listen().await;
    for number in 1..=20 {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
             Content-Length: 0\r\n\r\n",
            stack.token
        );
        client.write_all(request.as_bytes()).await.unwrap();
        let wait = async {
            while entered.load(Ordering::Acquire) < number {
                // A place of the one before may not be back yet; then this one was refused.
                tokio::time::sleep(Duration::from_millis(2)).await;
                if entered.load(Ordering::Acquire) < number {
                    client = TcpStream::connect(address).await.unwrap();
                    client.write_all(request.as_bytes()).await.unwrap();
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap();
    }
    // Twenty that left: the breaker is closed, and the places are free.
    let answer = async {
        loop {
            let answer = stack
                .client()
                .post("/v1/chat/completions", &json!({}))
                .await;
            if answer.status == StatusCode::OK {
                return;
            }
            assert_eq!(answer.problem(), "503 gateway.overloaded");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, answer).await.unwrap();
    stack.stop().await;
}

/// A gateway whose way to auth goes through a faulty wire.
pub async fn wired(
    change: impl FnOnce(&mut touchstone_api_gateway::Config),
) -> (Stack, TcpProxy, Switch) {
    let auth = Switch::default();
    let stack = Stack::with(Mode::Http, [], change).await;
    let listener = Listener::bind("auth", ([127, 0, 0, 1], 0).into())
        .await
        .unwrap();
    let proxy = TcpProxy::start(listener.address()).await;
    stack.life.serve(listener, auth.router());
    stack
        .identity
        .mesh
        .connect("auth", proxy.url("http").parse().unwrap());
    (stack, proxy, auth)
}

#[tokio::test]
async fn a_wire_that_is_cut_is_told_and_a_wire_that_heals_is_used() {
    let (stack, proxy, auth) = wired(|config| {
        config.upstreams.open_for = Duration::from_millis(50);
    })
    .await;
    assert_eq!(login(&stack).await.status, StatusCode::OK);
    for fault in [Fault::Reset, Fault::Refuse] {
        let calls = auth.calls();
        proxy.set(fault).await;
        for _ in 0..20 {
            let answer = login(&stack).await;
            assert_eq!(
                answer.status,
                StatusCode::SERVICE_UNAVAILABLE,
                "{}",
                answer.text()
            );
        }
        assert_eq!(auth.calls(), calls);
        proxy.set(Fault::None).await;
        until(&stack, StatusCode::OK).await;
    }
    assert!(proxy.hits() > 0, "the faults touched nothing");
    stack.stop().await;
}

#[tokio::test]
async fn a_wire_that_swallows_everything_ends_at_the_deadline() {
    let (stack, proxy, _) = wired(|config| {
        config.classes.auth.deadline = Duration::from_millis(100);
    })
    .await;
    proxy.set(Fault::Blackhole).await;
    let answer = tokio::time::timeout(PATIENCE, login(&stack)).await.unwrap();
    assert_eq!(answer.problem(), "504 request.deadline");
    assert!(proxy.hits() > 0, "the fault touched nothing");
    proxy.set(Fault::None).await;
    until(&stack, StatusCode::OK).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_service_that_flaps_is_always_answered_for_in_time() {
    let (stack, _proxy, auth) = wired(|config| {
        config.upstreams.open_for = Duration::from_millis(20);
    })
    .await;
    let mut seen = [0; 2];
    for round in 0..20 {
        auth.set(round % 2 == 0);
        for _ in 0..10 {
            let answer = tokio::time::timeout(PATIENCE, login(&stack)).await.unwrap();
            match answer.status.as_u16() {
                200 => seen[0] += 1,
                500 | 503 => seen[1] += 1,
                other => panic!("{other}: {}", answer.text()),
            }
        }
        if round % 2 == 1 {
            until(&stack, StatusCode::OK).await;
        }
    }
    assert!(seen[1] > 0, "{seen:?}");
    // What was refused was not asked: at most one call per request, and fewer when it is open.
    assert!(auth.calls() < 600, "{}", auth.calls());
    stack.stop().await;
}

/// Asks for a stream of events through a faulty wire; tells what was sent and what came.
async fn streamed(fault: Fault) -> (String, Answer) {
    let events = (0..50).map(|n| format!("id: {n}\r\ndata: слово {n}\n\n"));
    let sent = events.collect::<Vec<_>>().concat();
    let body = sent.clone();
    let generation = Router::new().fallback(move || {
        let body = body.clone();
        async move { ([("content-type", "text/event-stream")], body) }
    });
    let stack = Stack::start(Mode::Http, []).await;
    let listener = Listener::bind("generation", ([127, 0, 0, 1], 0).into()).await;
    let listener = listener.unwrap();
    let proxy = TcpProxy::start(listener.address()).await;
    stack.life.serve(listener, generation);
    let url = proxy.url("http").parse().unwrap();
    stack.identity.mesh.connect("generation", url);
    proxy.set(fault).await;
    let answer = stack
        .client()
        .post("/v1/chat/completions", &json!({}))
        .await;
    assert!(proxy.hits() > 0, "the fault touched nothing");
    drop(proxy);
    stack.stop().await;
    (sent, answer)
}

#[tokio::test]
async fn events_arrive_whole_however_the_wire_slices_them() {
    let slices = Fault::Slice {
        bytes: 7,
        pause: Duration::ZERO,
    };
    let (sent, answer) = streamed(slices).await;
    assert_eq!(answer.text(), sent);
}

#[tokio::test]
async fn a_stream_that_the_wire_cuts_says_so_in_the_words_of_its_face() {
    let (_, cut) = streamed(Fault::Cut { after_bytes: 600 }).await;
    assert_eq!(cut.status, StatusCode::OK);
    let text = cut.text();
    assert!(
        text.contains("\"error\":") && text.ends_with("}\n\n"),
        "{text}"
    );
}
