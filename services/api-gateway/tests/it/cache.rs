use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, StatusCode};
use serde_json::json;
use tokio::sync::Semaphore;
use touchstone_error::ErrorKind;
use touchstone_testing::{Answer, TestClient};
use touchstone_types::Role;
use touchstone_web::Problem;

use crate::support::{Mode, Stack, over_both_transports};

over_both_transports!(
    a_thousand_equal_searches_at_once_make_one_call,
    a_search_is_answered_again_until_it_is_old_or_something_is_written,
    nobody_is_answered_with_what_another_was,
    a_read_that_fails_is_answered_with_the_last_one_and_says_so,
    a_client_that_has_the_answer_is_told_so,
    what_must_not_be_kept_is_not_kept,
    the_first_to_ask_may_leave_and_the_others_are_answered,
    a_failure_is_told_to_all_who_wait_and_kept_for_none,
    a_write_in_the_middle_of_a_read_makes_it_useless,
);

/// A service that answers as the test says, and counts.
#[derive(Clone)]
struct Counting {
    calls: Arc<AtomicUsize>,
    /// A call takes one of these.
    gate: Arc<Semaphore>,
}

impl Counting {
    fn new(open: usize) -> Self {
        Self {
            calls: Arc::default(),
            gate: Arc::new(Semaphore::new(open)),
        }
    }

    fn router<R: IntoResponse>(
        &self,
        answer: impl Fn(usize) -> R + Clone + Send + Sync + 'static,
    ) -> Router {
        let counting = self.clone();
        Router::new().fallback(move || {
            let (counting, answer) = (counting.clone(), answer.clone());
            async move {
                let number = counting.calls.fetch_add(1, Ordering::AcqRel) + 1;
                counting.gate.acquire().await.unwrap().forget();
                answer(number).into_response()
            }
        })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Acquire)
    }

    async fn called(&self, times: usize) {
        let wait = async {
            while self.calls() < times {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(crate::support::PATIENCE, wait)
            .await
            .unwrap();
    }
}

fn text(number: usize) -> String {
    format!("answer {number}")
}

fn failure() -> Response {
    Problem::new(ErrorKind::Unavailable, "document.busy", "later").into_response()
}

/// As over a connection: there every request names its host.
async fn search(client: &TestClient, query: &str) -> Answer {
    let body = json!({ "query": query }).to_string();
    let request = http::Request::post("/search").header(HOST, "gateway.example");
    let request = request
        .header(CONTENT_TYPE, "application/json")
        .body(body.into());
    client.send(request.unwrap()).await
}

fn status(answer: &Answer) -> &str {
    answer.headers["cache-status"].to_str().unwrap()
}

async fn a_thousand_equal_searches_at_once_make_one_call(mode: Mode) {
    let retrieval = Counting::new(0);
    let stack = Stack::start(mode, [("retrieval", retrieval.router(text))]).await;
    let client = stack.client();
    let asking = join_all((0..1000).map(|_| search(&client, "x")));
    let (answers, ()) = tokio::join!(asking, async {
        retrieval.called(1).await;
        retrieval.gate.add_permits(1000);
    });
    assert!(answers.iter().all(|answer| answer.text() == "answer 1"));
    assert_eq!(retrieval.calls(), 1);
    // Whoever came too late to wait was answered with what was kept; nobody made a call.
    let led = answers
        .iter()
        .filter(|answer| status(answer) == "gateway; fwd=miss");
    assert_eq!(led.count(), 1);
    stack.stop().await;
}

async fn a_search_is_answered_again_until_it_is_old_or_something_is_written(mode: Mode) {
    let (retrieval, document) = (Counting::new(99), Counting::new(99));
    let services = [
        ("retrieval", retrieval.router(text)),
        ("document", document.router(text)),
    ];
    let stack = Stack::start(mode, services).await;
    let client = stack.client();
    assert_eq!(search(&client, "x").await.text(), "answer 1");
    let again = search(&client, "x").await;
    assert_eq!(
        (again.text().as_str(), status(&again)),
        ("answer 1", "gateway; hit")
    );
    assert_eq!(search(&client, "y").await.text(), "answer 2");
    stack.identity.clock.advance(Duration::from_secs(2));
    assert_eq!(search(&client, "x").await.text(), "answer 3");
    client.delete("/documents/7").await;
    assert_eq!(search(&client, "x").await.text(), "answer 4");
    // Another tenant's writes end nothing.
    let other = stack.identity.caller();
    let other = TestClient::new(stack.router.clone(), stack.identity.bearer(&other));
    other.post("/documents", &json!({})).await;
    assert_eq!(search(&client, "x").await.text(), "answer 4");
    stack.stop().await;
}

async fn nobody_is_answered_with_what_another_was(mode: Mode) {
    let retrieval = Counting::new(99);
    let stack = Stack::start(mode, [("retrieval", retrieval.router(text))]).await;
    let tenant = stack.caller.tenant;
    let colleague = stack.identity.caller_of(tenant, Role::Admin);
    let mut lesser = stack.caller.clone();
    lesser.role = Role::Member;
    let mut elsewhere = stack.caller.clone();
    elsewhere.tenant = stack.identity.caller().tenant;
    let callers = [stack.caller.clone(), colleague, lesser, elsewhere];
    for round in 0..2 {
        for (number, caller) in (1..).zip(&callers) {
            let client = TestClient::new(stack.router.clone(), stack.identity.bearer(caller));
            let answer = search(&client, "x").await;
            assert_eq!(answer.text(), text(number), "round {round}");
        }
    }
    assert_eq!(retrieval.calls(), callers.len());
    stack.stop().await;
}

async fn a_read_that_fails_is_answered_with_the_last_one_and_says_so(mode: Mode) {
    let document = Counting::new(99);
    let router = document.router(|number| match number {
        1 => "whole".into_response(),
        _ => failure(),
    });
    // Many failures, each of them told.
    let patient = |config: &mut touchstone_api_gateway::Config| {
        config.upstreams.failures_in_a_row = 1000;
    };
    let stack = Stack::with(mode, [("document", router)], patient).await;
    let client = stack.client();
    assert_eq!(client.get("/documents").await.text(), "whole");
    stack.identity.clock.advance(Duration::from_secs(30));
    let stale = client.get("/documents").await;
    assert_eq!(
        (stale.status, stale.text().as_str()),
        (StatusCode::OK, "whole")
    );
    assert_eq!(
        (&stale.headers["degraded"], &stale.headers["age"]),
        (&"document".parse().unwrap(), &"30".parse().unwrap())
    );
    // Whoever insists is told the truth, and so is whoever reads something else.
    let insisting = Request::get("/documents")
        .header("cache-control", "no-cache")
        .body(Body::empty());
    assert_eq!(
        client.send(insisting.unwrap()).await.problem(),
        "503 document.busy"
    );
    assert_eq!(
        client.get("/documents/7").await.problem(),
        "503 document.busy"
    );
    stack.identity.clock.advance(Duration::from_secs(31));
    assert_eq!(
        client.get("/documents").await.problem(),
        "503 document.busy"
    );
    let metrics = stack.identity.metrics.scope("gateway").encode();
    assert!(
        metrics.contains("degraded_answers_total{rung=\"stale_read\"} 1"),
        "{metrics}"
    );
    stack.stop().await;
}

async fn a_client_that_has_the_answer_is_told_so(mode: Mode) {
    let document = Counting::new(99);
    let stack = Stack::start(mode, [("document", document.router(|_| "whole"))]).await;
    let client = stack.client();
    let first = client.get("/documents").await;
    assert_eq!(first.headers["cache-control"], "private, no-cache");
    let tag = first.headers["etag"].to_str().unwrap();
    for (known, expected) in [
        (tag, StatusCode::NOT_MODIFIED),
        ("\"other\"", StatusCode::OK),
    ] {
        let request = Request::get("/documents")
            .header("if-none-match", known)
            .body(Body::empty());
        let answer = client.send(request.unwrap()).await;
        assert_eq!(
            (answer.status, &answer.headers["etag"]),
            (expected, &first.headers["etag"])
        );
        assert_eq!(answer.body.is_empty(), expected == StatusCode::NOT_MODIFIED);
    }
    // The service was asked each time: nothing was taken for granted.
    assert_eq!(document.calls(), 3);
    stack.stop().await;
}

async fn what_must_not_be_kept_is_not_kept(mode: Mode) {
    for (name, value) in [
        ("cache-control", "no-store"),
        ("set-cookie", "a=b"),
        ("content-type", "text/event-stream"),
    ] {
        let retrieval = Counting::new(99);
        let router = retrieval.router(move |number| ([(name, value)], text(number)));
        let stack = Stack::start(mode, [("retrieval", router)]).await;
        let client = stack.client();
        let both = tokio::join!(search(&client, "x"), search(&client, "x"));
        assert_ne!(both.0.text(), both.1.text(), "{name}");
        assert_eq!(search(&client, "x").await.text(), "answer 3", "{name}");
        stack.stop().await;
    }
    // What is too long is passed on as it comes.
    let retrieval = Counting::new(99);
    let router = retrieval.router(|_| {
        let parts = (0..300).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1024]));
        Body::from_stream(futures_util::stream::iter(parts))
    });
    let stack = Stack::start(mode, [("retrieval", router)]).await;
    for _ in 0..2 {
        assert_eq!(search(&stack.client(), "x").await.body.len(), 300 * 1024);
    }
    assert_eq!(retrieval.calls(), 2);
    stack.stop().await;
}

async fn the_first_to_ask_may_leave_and_the_others_are_answered(mode: Mode) {
    let retrieval = Counting::new(0);
    let stack = Stack::start(mode, [("retrieval", retrieval.router(text))]).await;
    let client = stack.client();
    let mut first = Box::pin(search(&client, "x"));
    let second = search(&client, "x");
    tokio::select! {
        biased;
        answer = &mut first => panic!("it was answered: {answer:?}"),
        () = retrieval.called(1) => {}
    }
    let answered = async {
        // The second joins before the first leaves.
        tokio::task::yield_now().await;
        drop(first);
        retrieval.gate.add_permits(1);
    };
    let (second, ()) = tokio::join!(second, answered);
    assert_eq!((second.text().as_str(), retrieval.calls()), ("answer 1", 1));
    stack.stop().await;
}

async fn a_failure_is_told_to_all_who_wait_and_kept_for_none(mode: Mode) {
    let retrieval = Counting::new(0);
    let router = retrieval.router(|number| match number {
        1 => (StatusCode::IM_A_TEAPOT, "no").into_response(),
        _ => "whole".into_response(),
    });
    let stack = Stack::start(mode, [("retrieval", router)]).await;
    let client = stack.client();
    let asking = join_all((0..50).map(|_| search(&client, "x")));
    let (answers, ()) = tokio::join!(asking, async {
        retrieval.called(1).await;
        retrieval.gate.add_permits(1);
    });
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == StatusCode::IM_A_TEAPOT)
    );
    retrieval.gate.add_permits(1);
    assert_eq!(search(&client, "x").await.text(), "whole");
    assert_eq!(retrieval.calls(), 2);
    stack.stop().await;
}

async fn a_write_in_the_middle_of_a_read_makes_it_useless(mode: Mode) {
    let retrieval = Counting::new(0);
    let services = [
        ("retrieval", retrieval.router(text)),
        ("document", Router::new().fallback(async || "written")),
    ];
    let stack = Stack::start(mode, services).await;
    let client = stack.client();
    let (old, ()) = tokio::join!(search(&client, "x"), async {
        retrieval.called(1).await;
        client.post("/documents", &json!({})).await;
        // Whoever asks after the write waits for nothing that began before it.
        let (new, ()) = tokio::join!(search(&client, "x"), async {
            retrieval.called(2).await;
            retrieval.gate.add_permits(2);
        });
        assert_eq!(new.text(), "answer 2");
    });
    assert_eq!(old.text(), "answer 1");
    assert_eq!(search(&client, "x").await.text(), "answer 2");
    stack.stop().await;
}

#[tokio::test]
async fn large_texts_are_compressed_for_those_who_read_it_and_streams_never() {
    let document = Router::new().fallback(async |request: Request| {
        assert!(!request.headers().contains_key("accept-encoding"));
        let kind = match request.uri().path() {
            "/documents/stream" => "text/event-stream",
            _ => "application/json",
        };
        ([("content-type", kind)], "x".repeat(4000))
    });
    let auth = Router::new().fallback(async || {
        (
            [("content-type", "application/json")],
            "secret".repeat(1000),
        )
    });
    let stack = Stack::start(Mode::InProcess, [("document", document), ("auth", auth)]).await;
    let ask = async |path: &str, accepted: &str, known: &str| {
        let request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .header("accept-encoding", accepted)
            .header("if-none-match", known)
            .body(Body::empty());
        stack.client().send(request.unwrap()).await
    };
    let plain = ask("/documents", "identity", "").await;
    let tag = plain.headers["etag"].to_str().unwrap().to_owned();
    assert!(tag.starts_with('"') && plain.body.len() == 4000);
    for encoding in ["gzip", "br"] {
        let small = ask("/documents", encoding, "").await;
        assert_eq!(small.headers["content-encoding"], encoding);
        assert_eq!(small.headers["etag"], format!("W/{tag}"));
        assert!(
            small.headers["vary"]
                .to_str()
                .unwrap()
                .contains("accept-encoding")
        );
        assert!(small.body.len() < 400);
        let known = ask("/documents", encoding, &format!("W/{tag}")).await;
        assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    }
    for path in ["/documents/stream", "/auth/me"] {
        let whole = ask(path, "gzip, br", "").await;
        assert!(!whole.headers.contains_key("content-encoding"), "{path}");
        assert!(whole.body.len() >= 4000);
    }
    stack.stop().await;
}

#[tokio::test]
async fn without_the_cache_each_read_is_a_call() {
    let retrieval = Counting::new(99);
    let services = [("retrieval", retrieval.router(text))];
    let stack = Stack::with(Mode::InProcess, services, |config| {
        config.cache.enabled = false;
    })
    .await;
    let client = stack.client();
    let both = tokio::join!(search(&client, "x"), search(&client, "x"));
    assert_ne!(both.0.text(), both.1.text());
    assert!(!both.0.headers.contains_key("cache-status"));
    stack.stop().await;
}
