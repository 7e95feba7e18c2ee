use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use touchstone_error::{Classify, ErrorKind};
use touchstone_events::{BusState, Delivery, EventBus, KafkaBus, KafkaOptions, Subscription};
use touchstone_test_services::{Exclusive, kafka};

use crate::contract::{event, number};

/// Longest wait for what must come: a member that died is missed for the time of its session.
const PATIENCE: Duration = Duration::from_mins(1);

/// Options for a part of the cluster that no other test uses.
fn apart(url: &str) -> KafkaOptions {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    KafkaOptions::parse(&format!("{url}?prefix=t-{process}-{number}.")).unwrap()
}

/// A bus on the shared cluster, if there is one.
pub async fn bus() -> Option<Arc<dyn EventBus>> {
    let server = kafka().await?;
    let bus = KafkaBus::new(apart(server.url())).unwrap();
    let bus: Arc<dyn EventBus> = Arc::new(bus);
    Some(bus)
}

async fn next(subscription: &mut Subscription) -> Delivery {
    tokio::time::timeout(PATIENCE, subscription.next())
        .await
        .expect("nothing came")
        .unwrap()
}

async fn until(what: &str, bus: &KafkaBus, good: impl Fn(&BusState) -> bool) {
    let started = Instant::now();
    while !good(&bus.state()) {
        assert!(started.elapsed() < PATIENCE, "{what}: {:?}", bus.state());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Publishes until it works, as a relay does.
async fn publish(bus: &KafkaBus, numbers: impl IntoIterator<Item = u32>) {
    let events: Vec<_> = numbers
        .into_iter()
        .map(|n| event("t", &format!("key-{}", n % 5), n))
        .collect();
    let started = Instant::now();
    while let Err(error) = bus.publish(events.clone()).await {
        assert!(started.elapsed() < PATIENCE, "{error}");
    }
}

/// Takes and acknowledges until every number was seen; how often each.
async fn collect(subscription: &mut Subscription, wanted: u32) -> Vec<u32> {
    let mut seen = vec![0; wanted as usize];
    while seen.contains(&0) {
        let delivery = next(subscription).await;
        seen[number(delivery.event()) as usize] += 1;
        delivery.ack();
    }
    seen
}

#[tokio::test]
async fn a_successor_begins_behind_what_was_finished_and_in_front_of_what_was_not() {
    let Some(server) = kafka().await else { return };
    let options = apart(server.url());
    let first = KafkaBus::new(options.clone()).unwrap();
    let mut reading = first.subscribe("t", "g").await.unwrap();
    // One key is one partition: the third event holds the mark of the partition.
    for n in 0..6 {
        first.publish(vec![event("t", "key", n)]).await.unwrap();
    }
    for _ in 0..2 {
        next(&mut reading).await.ack();
    }
    let held = next(&mut reading).await;
    assert_eq!(number(held.event()), 2);
    drop(first);
    let second = KafkaBus::new(options).unwrap();
    let mut reading = second.subscribe("t", "g").await.unwrap();
    let again = next(&mut reading).await;
    assert_eq!(number(again.event()), 2);
    // What was taken before the group was divided anew is no longer ours to finish.
    held.ack();
    again.ack();
    assert_eq!(number(next(&mut reading).await.event()), 3);
}

#[tokio::test]
async fn members_share_the_partitions_and_nothing_is_lost_when_one_leaves() {
    let Some(server) = kafka().await else { return };
    let options = apart(server.url());
    let one = KafkaBus::new(options.clone()).unwrap();
    let mut first = one.subscribe("t", "g").await.unwrap();
    until("no partitions", &one, |state| {
        state.groups[0].partitions == 4
    })
    .await;
    let other = KafkaBus::new(options).unwrap();
    let mut second = other.subscribe("t", "g").await.unwrap();
    until("not divided", &one, |state| state.groups[0].partitions == 2).await;
    until("not divided", &other, |state| {
        state.groups[0].partitions == 2
    })
    .await;
    assert!(one.state().groups[0].revocations > 0);
    publish(&one, 0..100).await;
    let held = next(&mut first).await;
    let mut seen = vec![0; 100];
    for _ in 0..10 {
        let delivery = next(&mut second).await;
        seen[number(delivery.event()) as usize] += 1;
        delivery.ack();
    }
    // The first leaves in the middle of its work.
    drop(held);
    drop(first);
    drop(one);
    while seen.contains(&0) {
        let delivery = next(&mut second).await;
        seen[number(delivery.event()) as usize] += 1;
        delivery.ack();
    }
    until("lag stays", &other, |state| state.groups[0].lag == 0).await;
}

#[tokio::test]
async fn a_slow_group_pauses_reading_and_keeps_its_partitions() {
    let Some(server) = kafka().await else { return };
    let mut options = apart(server.url());
    options.capacity = 10;
    let bus = KafkaBus::new(options).unwrap();
    let mut slow = bus.subscribe("t", "g").await.unwrap();
    until("no partitions", &bus, |state| {
        state.groups[0].partitions == 4
    })
    .await;
    publish(&bus, 0..500).await;
    // Everything waits, and is told as lag, though only a few events are here.
    until("no lag", &bus, |state| state.groups[0].lag == 500).await;
    let seen = collect(&mut slow, 500).await;
    assert!(seen.iter().all(|&times| times == 1), "{seen:?}");
    let state = bus.state();
    assert_eq!(state.groups[0].revocations, 0, "{state:?}");
    until("lag stays", &bus, |state| state.groups[0].lag == 0).await;
}

#[tokio::test]
async fn what_is_published_while_a_group_holds_back_is_counted_as_lag() {
    let Some(server) = kafka().await else { return };
    let mut options = apart(server.url());
    options.capacity = 10;
    let bus = KafkaBus::new(options).unwrap();
    let mut slow = bus.subscribe("t", "g").await.unwrap();
    until("no partitions", &bus, |state| {
        state.groups[0].partitions == 4
    })
    .await;
    // The first of these fill the group's room, and nothing is taken: it reads no more. A fetch may have
    // been under way, so that the next ones are known by it, and no later ones can be.
    for published in [100, 200, 300, 400] {
        publish(&bus, published - 100..published).await;
        until("not counted", &bus, |state| {
            state.groups[0].lag == u64::from(published)
        })
        .await;
    }
    let seen = collect(&mut slow, 400).await;
    assert!(seen.iter().all(|&times| times == 1), "{seen:?}");
    until("lag stays", &bus, |state| state.groups[0].lag == 0).await;
}

#[tokio::test]
async fn without_a_broker_it_starts_fails_in_time_and_catches_up() {
    let Some(server) = Exclusive::kafka().await else {
        return;
    };
    server.kill().await;
    let mut options = apart(server.url());
    options.delivery_timeout = Duration::from_secs(1);
    let bus = KafkaBus::new(options).unwrap();
    let mut waiting = bus.subscribe("t", "g").await.unwrap();
    let error = bus.publish(vec![event("t", "a", 0)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(bus.state().connected, Some(false));
    server.restart().await;
    publish(&bus, 0..20).await;
    collect(&mut waiting, 20).await;
    until("not connected", &bus, |state| state.connected == Some(true)).await;
}

#[tokio::test]
async fn an_unconfirmed_event_counts_as_not_sent_and_may_arrive_twice_over_a_freeze() {
    let Some(server) = Exclusive::kafka().await else {
        return;
    };
    let mut options = apart(server.url());
    options.delivery_timeout = Duration::from_secs(2);
    let bus = KafkaBus::new(options).unwrap();
    let mut waiting = bus.subscribe("t", "g").await.unwrap();
    publish(&bus, 0..10).await;
    server.freeze().await;
    let unconfirmed = (10..20).map(|n| event("t", "a", n)).collect();
    let error = bus.publish(unconfirmed).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    until("still connected", &bus, |state| {
        state.connected == Some(false)
    })
    .await;
    server.thaw().await;
    publish(&bus, 10..20).await;
    collect(&mut waiting, 20).await;
}

#[tokio::test]
async fn a_killed_broker_comes_back_with_what_it_confirmed() {
    let Some(server) = Exclusive::kafka().await else {
        return;
    };
    let bus = KafkaBus::new(apart(server.url())).unwrap();
    publish(&bus, 0..50).await;
    server.kill().await;
    server.restart().await;
    let mut late = bus.subscribe("t", "g").await.unwrap();
    publish(&bus, 50..60).await;
    collect(&mut late, 60).await;
}

#[tokio::test]
async fn a_wiped_broker_gets_its_topics_back() {
    let Some(server) = Exclusive::kafka().await else {
        return;
    };
    let mut options = apart(server.url());
    options.delivery_timeout = Duration::from_secs(2);
    let bus = KafkaBus::new(options).unwrap();
    let mut reading = bus.subscribe("t", "g").await.unwrap();
    publish(&bus, 0..30).await;
    collect(&mut reading, 30).await;
    server.wipe().await;
    publish(&bus, 0..10).await;
    collect(&mut reading, 10).await;
}
