use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};
use touchstone_api::events::Event;
use touchstone_events::{Backoff, Consumer, EventBus, Failure, Handler, MemoryBus};
use touchstone_lifecycle::Lifecycle;

use crate::contract::{event, number};

/// Fails as its script says, attempt by attempt, and tells everything.
struct Scripted {
    script: Mutex<Vec<&'static str>>,
    told: mpsc::UnboundedSender<String>,
}

#[async_trait]
impl Handler for Scripted {
    async fn handle(&self, event: &Event) -> Result<(), Failure> {
        let step = self.script.lock().unwrap().pop();
        self.told
            .send(format!("{} {}", number(event), step.unwrap_or("ok")))
            .unwrap();
        match step {
            Some("passing") => Err(Failure::Passing("try later".into())),
            Some("lasting") => Err(Failure::Lasting("never".into())),
            Some("panic") => panic!("on purpose"),
            _ => Ok(()),
        }
    }

    async fn give_up(&self, event: &Event, failure: &Failure) {
        self.told
            .send(format!("{} given up: {failure}", number(event)))
            .unwrap();
    }
}

async fn run(script: &[&'static str], events: u32, expected: usize) -> Vec<String> {
    let (told, mut hear) = mpsc::unbounded_channel();
    let script = Mutex::new(script.iter().rev().copied().collect());
    let life = Lifecycle::new();
    let bus = MemoryBus::new();
    let mut consumer = Consumer::new("t", "g");
    consumer.attempts = 3;
    consumer
        .start(&bus, Arc::new(Scripted { script, told }), &life)
        .await
        .unwrap();
    bus.publish((1..=events).map(|n| event("t", "key", n)).collect())
        .await
        .unwrap();
    let mut heard = Vec::new();
    while heard.len() < expected {
        heard.push(hear.recv().await.unwrap());
    }
    assert!(life.shutdown(Duration::from_secs(30)).await.is_clean());
    assert!(hear.recv().await.is_none(), "more than expected");
    heard
}

#[tokio::test(start_paused = true)]
async fn passing_failures_and_panics_are_tried_again_before_the_next_event() {
    let heard = run(&["passing", "panic", "ok"], 2, 4).await;
    assert_eq!(heard, ["1 passing", "1 panic", "1 ok", "2 ok"]);
}

#[tokio::test(start_paused = true)]
async fn poison_is_given_up_and_does_not_block_its_key() {
    let heard = run(&["lasting"], 2, 3).await;
    assert_eq!(heard, ["1 lasting", "1 given up: never", "2 ok"]);
    let heard = run(&["panic", "panic", "panic"], 2, 5).await;
    assert_eq!(heard[3..], ["1 given up: panicked: on purpose", "2 ok"]);
}

/// Waits inside until told to go on.
struct Gated {
    entered: mpsc::UnboundedSender<()>,
    go: Arc<Notify>,
}

#[async_trait]
impl Handler for Gated {
    async fn handle(&self, _: &Event) -> Result<(), Failure> {
        self.entered.send(()).unwrap();
        self.go.notified().await;
        Ok(())
    }

    async fn give_up(&self, _: &Event, _: &Failure) {}
}

#[tokio::test]
async fn works_on_several_keys_at_once_and_finishes_them_at_the_soft_stop() {
    let (entered, mut hear) = mpsc::unbounded_channel();
    let go = Arc::new(Notify::new());
    let (life, bus) = (Lifecycle::new(), MemoryBus::new());
    let mut consumer = Consumer::new("t", "g");
    consumer.concurrency = 3;
    let handler = Gated {
        entered,
        go: Arc::clone(&go),
    };
    consumer
        .start(&bus, Arc::new(handler), &life)
        .await
        .unwrap();
    bus.publish((0..4).map(|n| event("t", &n.to_string(), n)).collect())
        .await
        .unwrap();
    for _ in 0..3 {
        hear.recv().await.unwrap();
    }
    let (report, ()) = tokio::join!(life.shutdown(Duration::from_secs(30)), async {
        tokio::task::yield_now().await;
        go.notify_waiters();
    });
    assert!(report.is_clean());
    // The fourth was never begun, and waits for the next one.
    let mut later = bus.subscribe("t", "g").await.unwrap();
    assert_eq!(later.next().await.unwrap().attempt(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_between_attempts_is_left_for_later_at_the_soft_stop() {
    let (told, mut hear) = mpsc::unbounded_channel();
    let (life, bus) = (Lifecycle::new(), MemoryBus::new());
    let mut consumer = Consumer::new("t", "g");
    consumer.backoff = Backoff {
        first: Duration::from_hours(1),
        max: Duration::from_hours(1),
    };
    let script = Mutex::new(vec!["passing"]);
    consumer
        .start(&bus, Arc::new(Scripted { script, told }), &life)
        .await
        .unwrap();
    bus.publish(vec![event("t", "a", 1)]).await.unwrap();
    hear.recv().await.unwrap();
    assert!(life.shutdown(Duration::from_secs(30)).await.is_clean());
    let mut later = bus.subscribe("t", "g").await.unwrap();
    assert_eq!(later.next().await.unwrap().attempt(), 2);
}
