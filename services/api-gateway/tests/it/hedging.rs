//! Reads that are late get a second attempt at another instance; writes never do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::Notify;
use touchstone_lifecycle::Listener;

use crate::support::{Mode, PATIENCE, Stack};

/// What the two instances of a service have in common.
#[derive(Default)]
struct Pair {
    /// The next call, at whichever instance, is held.
    holds_next: AtomicBool,
    /// So are all of them, for ever.
    holds_all: AtomicBool,
    release: Notify,
    /// Calls with a body.
    calls: AtomicUsize,
    /// Calls that were held and whose caller left.
    left: AtomicUsize,
}

/// Counts a call that ends before its answer.
struct Unanswered<'a>(&'a Pair, bool);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.left.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Pair {
    /// An instance that answers with its name and the body that it was sent.
    fn instance(self: &Arc<Self>, name: &'static str) -> Router {
        let pair = Arc::clone(self);
        Router::new().fallback(move |request: Request| {
            let pair = Arc::clone(&pair);
            async move { pair.answer(name, request).await }
        })
    }

    async fn answer(&self, name: &str, request: Request) -> Response {
        let reads = request.method() == Method::GET;
        let body = request.into_body().collect().await.unwrap().to_bytes();
        if reads {
            return "read".into_response();
        }
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mut unanswered = Unanswered(self, false);
        if self.holds_next.swap(false, Ordering::SeqCst) {
            self.release.notified().await;
        }
        if self.holds_all.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        unanswered.1 = true;
        let sent: Value = serde_json::from_slice(&body).unwrap();
        let answer = json!({ "by": name, "sent": sent }).to_string();
        ([("content-type", "application/json")], answer).into_response()
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn until(&self, what: impl Fn(&Self) -> bool) {
        let wait = async {
            while !what(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap();
    }
}

/// A gateway before two instances of `service`.
async fn two(service: &'static str) -> (Stack, Arc<Pair>) {
    two_with(service, 0.5).await
}

/// The same with so many second attempts per request.
async fn two_with(service: &'static str, share: f64) -> (Stack, Arc<Pair>) {
    let stack = Stack::with(Mode::Http, [], |config| {
        config.upstreams.hedge_share = share;
        config.classes.search.deadline = PATIENCE;
        config.classes.upload.deadline = PATIENCE;
    })
    .await;
    let pair = Arc::<Pair>::default();
    let mut urls = Vec::new();
    for name in ["one", "other"] {
        let listener = Listener::bind(service, ([127, 0, 0, 1], 0).into()).await;
        let listener = listener.unwrap();
        urls.push(format!("http://{}", listener.address()));
        stack.life.serve(listener, pair.instance(name));
    }
    let address = urls.join(",").parse().unwrap();
    stack.identity.mesh.connect_to(service, address);
    (stack, pair)
}

/// What is usual is reckoned anew ten times a second at most.
async fn until_it_is_known() {
    tokio::time::sleep(Duration::from_millis(150)).await;
}

#[tokio::test]
async fn a_search_that_one_instance_stalls_is_answered_once_by_the_other() {
    let (stack, pair) = two("retrieval").await;
    let search = async |query: String| {
        let request = json!({ "query": query });
        stack.client().post("/search", &request).await
    };
    for number in 0..60 {
        let answer = search(format!("known {number}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    until_it_is_known().await;
    // Some of those were late too.
    let (calls, left) = (pair.calls(), pair.left.load(Ordering::SeqCst));
    pair.holds_next.store(true, Ordering::SeqCst);
    let answer = search("what is late".to_owned()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(
        answer.json::<Value>()["sent"],
        json!({ "query": "what is late" }),
        "the second attempt brings the body again"
    );
    assert!(pair.calls() >= calls + 2);
    // Whoever lost is told to stop.
    pair.until(|pair| pair.left.load(Ordering::SeqCst) > left)
        .await;
    assert!(hedged(&stack) > 0);
    stack.stop().await;
}

/// Second attempts so far.
fn hedged(stack: &Stack) -> usize {
    let metrics = stack.identity.metrics.scope("gateway").encode();
    let labels = "policy=\"hedge\",action=\"hedged\",upstream=\"retrieval\"";
    let begin = format!("touchstone_mesh_decisions_total{{{labels}}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&begin));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn when_everything_is_late_no_more_than_the_share_has_a_second_attempt() {
    const KNOWN: usize = 60;
    const LATE: usize = 100;
    for (share, most) in [(0.0, 0), (0.05, (KNOWN + LATE) / 20)] {
        let (stack, pair) = two_with("retrieval", share).await;
        for number in 0..KNOWN {
            let known = json!({ "query": format!("known {number}") });
            let answer = stack.client().post("/search", &known).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        }
        until_it_is_known().await;
        pair.holds_all.store(true, Ordering::SeqCst);
        let late = (0..LATE).map(|number| {
            let body = json!({ "query": format!("late {number}") }).to_string();
            let request = Request::post("/search")
                .header("content-type", "application/json")
                // Long after the others' answers, and too short to say anything of the service.
                .header("x-deadline-ms", "800");
            let client = stack.client();
            async move { client.send(request.body(body.into()).unwrap()).await }
        });
        for answer in join_all(late).await {
            assert_eq!(answer.problem(), "504 request.deadline");
        }
        let hedged = hedged(&stack);
        assert!(hedged <= most, "{hedged} of {most} at {share}");
        assert_eq!(hedged > 0, share > 0.0, "{hedged} at {share}");
        stack.stop().await;
    }
}

#[tokio::test]
async fn a_write_that_is_late_is_waited_for() {
    let (stack, pair) = two("document").await;
    let client = stack.client();
    let write = json!({ "text": "new" });
    for _ in 0..60 {
        let answer = client.post("/documents", &write).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    until_it_is_known().await;
    let before = pair.calls();
    pair.holds_next.store(true, Ordering::SeqCst);
    let (answer, ()) = tokio::join!(client.post("/documents", &write), async {
        pair.until(|pair| pair.calls() > before).await;
        // Longer than any write took.
        for number in 0..200 {
            client.get(&format!("/documents/{number}")).await;
        }
        pair.release.notify_one();
    });
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(pair.calls(), before + 1);
    stack.stop().await;
}
