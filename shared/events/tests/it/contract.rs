use std::sync::Arc;
use std::time::Duration;

use touchstone_api::events::Event;
use touchstone_events::{Delivery, EventBus, Subscription};
use touchstone_types::{Clock, EventId, FrozenClock};
use uuid::Uuid;

/// Makes a test of each rule for the bus that the future opens, if it does.
macro_rules! suite {
    ($open:expr) => {
        $crate::contract::suite!($open; an_event_arrives_as_it_was_sent,
            groups_get_everything_and_members_share, one_key_arrives_in_order_and_one_at_a_time,
            other_keys_pass_a_key_in_work, unacknowledged_events_come_again_in_their_place,
            topics_are_apart, a_cancelled_wait_loses_nothing);
    };
    ($open:expr; $($rule:ident),+) => {$(
        #[tokio::test]
        async fn $rule() {
            if let Some(bus) = $open.await {
                $crate::contract::$rule(bus).await;
            }
        }
    )+};
}
pub(crate) use suite;

/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn event(topic: &str, key: &str, number: u32) -> Event {
    Event {
        id: EventId::from_uuid(Uuid::from_u128(u128::from(number))),
        topic: topic.to_owned(),
        key: key.to_owned(),
        at: FrozenClock::default().now(),
        traceparent: None,
        payload: serde_json::json!({ "number": number }),
    }
}

pub fn number(event: &Event) -> u64 {
    event.payload["number"].as_u64().unwrap()
}

async fn next(subscription: &mut Subscription) -> Delivery {
    tokio::time::timeout(PATIENCE, subscription.next())
        .await
        .expect("nothing came")
        .unwrap()
}

/// Whether nothing can come now: everything that may be delivered already was.
async fn is_quiet(subscription: &mut Subscription) -> bool {
    tokio::time::timeout(Duration::from_millis(50), subscription.next())
        .await
        .is_err()
}

pub async fn an_event_arrives_as_it_was_sent(bus: Arc<dyn EventBus>) {
    let mut one = bus.subscribe("t", "g").await.unwrap();
    let mut sent = event("t", "ключ", 7);
    sent.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    bus.publish(vec![sent.clone()]).await.unwrap();
    let got = next(&mut one).await;
    assert_eq!((got.event(), got.attempt()), (&sent, 1));
}

pub async fn groups_get_everything_and_members_share(bus: Arc<dyn EventBus>) {
    let mut members = [
        bus.subscribe("t", "shared").await.unwrap(),
        bus.subscribe("t", "shared").await.unwrap(),
    ];
    let mut alone = bus.subscribe("t", "alone").await.unwrap();
    let events = (0..10)
        .map(|n| event("t", &format!("key-{n}"), n))
        .collect();
    bus.publish(events).await.unwrap();
    let mut shared = Vec::new();
    for turn in 0..10 {
        let delivery = next(&mut members[turn % 2]).await;
        shared.push(number(delivery.event()));
        delivery.ack();
    }
    shared.sort_unstable();
    assert_eq!(shared, (0..10).collect::<Vec<_>>());
    for _ in 0..10 {
        next(&mut alone).await.ack();
    }
    for subscription in members.iter_mut().chain([&mut alone]) {
        assert!(is_quiet(subscription).await);
    }
}

pub async fn one_key_arrives_in_order_and_one_at_a_time(bus: Arc<dyn EventBus>) {
    let mut one = bus.subscribe("t", "g").await.unwrap();
    let mut two = bus.subscribe("t", "g").await.unwrap();
    bus.publish((0..20).map(|n| event("t", "key", n)).collect())
        .await
        .unwrap();
    for expected in 0..20 {
        let delivery = next(&mut one).await;
        assert_eq!(number(delivery.event()), expected);
        if expected == 0 {
            assert!(
                is_quiet(&mut two).await,
                "the next one came before the first was done"
            );
        }
        delivery.ack();
    }
}

pub async fn other_keys_pass_a_key_in_work(bus: Arc<dyn EventBus>) {
    let mut one = bus.subscribe("t", "g").await.unwrap();
    let mut two = bus.subscribe("t", "g").await.unwrap();
    bus.publish(vec![
        event("t", "a", 1),
        event("t", "a", 2),
        event("t", "b", 3),
    ])
    .await
    .unwrap();
    let first = next(&mut one).await;
    let second = next(&mut two).await;
    let keys = [first.event().key.as_str(), second.event().key.as_str()];
    assert!(keys == ["a", "b"] || keys == ["b", "a"], "{keys:?}");
}

pub async fn unacknowledged_events_come_again_in_their_place(bus: Arc<dyn EventBus>) {
    let mut one = bus.subscribe("t", "g").await.unwrap();
    bus.publish(vec![event("t", "a", 1), event("t", "a", 2)])
        .await
        .unwrap();
    drop(next(&mut one).await);
    drop(one);
    let mut other = bus.subscribe("t", "g").await.unwrap();
    let again = next(&mut other).await;
    assert_eq!((number(again.event()), again.attempt()), (1, 2));
    again.ack();
    let second = next(&mut other).await;
    assert_eq!((number(second.event()), second.attempt()), (2, 1));
    second.ack();
    assert!(is_quiet(&mut other).await);
}

pub async fn topics_are_apart(bus: Arc<dyn EventBus>) {
    let mut one = bus.subscribe("one", "g").await.unwrap();
    let mut other = bus.subscribe("other", "g").await.unwrap();
    bus.publish(vec![event("one", "a", 1)]).await.unwrap();
    next(&mut one).await.ack();
    assert!(is_quiet(&mut other).await);
}

pub async fn a_cancelled_wait_loses_nothing(bus: Arc<dyn EventBus>) {
    let mut one = bus.subscribe("t", "g").await.unwrap();
    assert!(is_quiet(&mut one).await);
    let mut two = bus.subscribe("t", "g").await.unwrap();
    bus.publish((0..50).map(|n| event("t", &n.to_string(), n)).collect())
        .await
        .unwrap();
    let mut seen = Vec::new();
    while seen.len() < 50 {
        let delivery = tokio::select! {
            delivery = one.next() => delivery.unwrap(),
            delivery = two.next() => delivery.unwrap(),
        };
        seen.push(number(delivery.event()));
        delivery.ack();
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..50).collect::<Vec<_>>());
}
