use std::time::Duration;

use touchstone_error::{Classify, ErrorKind};
use touchstone_events::{EventBus, MemoryBus};

use crate::contract::{event, number};

#[tokio::test(start_paused = true)]
async fn a_slow_group_holds_the_publisher_back() {
    let bus = MemoryBus::bounded(2, Duration::from_secs(5));
    let mut slow = bus.subscribe("t", "slow").await.unwrap();
    bus.publish(vec![event("t", "a", 1), event("t", "b", 2)])
        .await
        .unwrap();

    let third = bus.publish(vec![event("t", "c", 3)]);
    let (published, ()) = tokio::join!(third, async {
        let first = slow.next().await.unwrap();
        assert_eq!(number(first.event()), 1);
        // Taken is not done: only the acknowledgement makes room.
        first.ack();
    });
    published.unwrap();

    let held = slow.next().await.unwrap();
    let full = bus.publish(vec![event("t", "d", 4)]).await.unwrap_err();
    assert_eq!(
        (full.kind(), full.code()),
        (ErrorKind::Unavailable, "events.full")
    );
    drop(held);
}

#[tokio::test]
async fn a_topic_without_groups_takes_everything() {
    let bus = MemoryBus::bounded(1, Duration::from_secs(5));
    bus.publish((0..10).map(|n| event("nobody", "a", n)).collect())
        .await
        .unwrap();
}
