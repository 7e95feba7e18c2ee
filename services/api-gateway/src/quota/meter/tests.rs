use std::time::Duration;

use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use touchstone_cache::quota::{Algorithm, MemoryQuotas, Rule, Window};

use super::*;

const LONG: Duration = Duration::from_hours(1);
const PATIENCE: Duration = Duration::from_secs(30);

struct Fixture {
    store: Arc<dyn QuotaStore>,
    life: Lifecycle,
    policy: Arc<Policy>,
}

impl Fixture {
    fn new(limit: u32) -> Self {
        let window = Window {
            name: "tokens-minute".into(),
            limit,
            period: LONG,
            burst: limit,
        };
        let rule = Rule {
            scope: "tokens".into(),
            windows: vec![window],
        };
        Self {
            store: Arc::new(MemoryQuotas::new(10)),
            life: Lifecycle::new(),
            policy: Arc::new(Policy::new("p", Algorithm::Strict, vec![rule])),
        }
    }

    async fn body(
        &self,
        reserve_tokens: u64,
        frames: impl futures_util::Stream<Item = Result<&'static str, std::io::Error>> + Send + 'static,
        openai: bool,
    ) -> MeteredBody {
        let (decision, granted) = reserve(&*self.store, "s", &self.policy, reserve_tokens)
            .await
            .unwrap();
        let budget = Budget {
            store: Arc::clone(&self.store),
            life: self.life.clone(),
            subject: "s".into(),
            policy: Arc::clone(&self.policy),
            reserved: vec![(decision.receipt.unwrap(), granted)],
        };
        MeteredBody::new(Body::from_stream(frames), budget, true, openai)
    }

    /// What is left after all settlements.
    async fn left(self) -> u64 {
        assert!(self.life.shutdown(PATIENCE).await.is_clean());
        self.store.standings("s", &self.policy).await[0].remaining
    }
}

async fn text(body: MeteredBody) -> String {
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn tokens(count: usize) -> impl futures_util::Stream<Item = Result<&'static str, std::io::Error>> {
    stream::iter((0..count).map(|_| Ok("data: x\n\n")))
}

#[tokio::test]
async fn what_was_not_used_comes_back() {
    let fixture = Fixture::new(100);
    let body = fixture.body(80, tokens(30), false).await;
    assert_eq!(text(body).await, "data: x\n\n".repeat(30));
    assert_eq!(fixture.left().await, 70);
}

#[tokio::test]
async fn what_the_service_tells_counts() {
    let fixture = Fixture::new(100);
    let usage = "event: usage\ndata: {\"prompt_tokens\":20,\"total_tokens\": 55}\n\n";
    let body = fixture
        .body(40, tokens(10).chain(stream::iter([Ok(usage)])), false)
        .await;
    text(body).await;
    assert_eq!(fixture.left().await, 45);
}

#[tokio::test]
async fn a_client_that_leaves_pays_for_what_passed() {
    let fixture = Fixture::new(100);
    let endless = tokens(5).chain(stream::pending());
    let mut body = fixture.body(60, endless, false).await.into_data_stream();
    for _ in 0..5 {
        body.next().await.unwrap().unwrap();
    }
    drop(body);
    assert_eq!(fixture.left().await, 95);
    let fixture = Fixture::new(100);
    drop(fixture.body(60, stream::pending(), false).await);
    assert_eq!(fixture.left().await, 100);
}

#[tokio::test]
async fn a_stream_is_cut_with_an_event_when_the_budget_ends() {
    for (openai, last) in [
        (
            false,
            "event: error\ndata: {\"code\":\"gateway.quota_exceeded\"",
        ),
        (
            true,
            "data: {\"error\":{\"code\":\"gateway.quota_exceeded\"",
        ),
    ] {
        let fixture = Fixture::new(100);
        // Reservations are extended to the last token, and not a token more.
        let body = fixture.body(10, tokens(1000), openai).await;
        let read = text(body).await;
        assert_eq!(read.matches("data: x\n\n").count(), 100, "{read}");
        let (_, end) = read.rsplit_once("data: x\n\n").unwrap();
        assert!(end.starts_with(last), "{end}");
        assert_eq!(fixture.left().await, 0);
    }
}

#[test]
fn a_text_cannot_tell_a_usage() {
    assert_eq!(usage(br#"{"text":"\"total_tokens\": 0"}"#), None);
    assert_eq!(usage(br#"{"usage":{"total_tokens":7}}"#), Some(7));
    assert_eq!(usage(br#""total_tokens": many"#), None);
}

#[test]
fn estimates_follow_the_request() {
    assert_eq!(estimate(b"{\"question\":\"abc\"}"), 5 + ANSWER);
    assert_eq!(estimate(b"{\"max_tokens\":100}"), 5 + 100);
    for much in ["4294967296", "18446744073709551615"] {
        let asked = format!("{{\"max_tokens\":{much}}}");
        assert_eq!(estimate(asked.as_bytes()), u64::from(u32::MAX), "{much}");
    }
}
