//! How work is claimed, lost and waits.

use super::*;

pub async fn work_is_claimed_once_in_groups_of_a_tenant(bench: Bench) {
    let a = bench.accept("a").await;
    let b = bench.accept("b").await;
    let mut other = bench.upload("c");
    other.tenant = bench.ids.next();
    bench
        .store
        .accept(std::slice::from_ref(&other))
        .await
        .unwrap();
    bench.clock.advance(Duration::from_millis(1));
    let (_, first) = bench.claim().await;
    let mut claimed: Vec<_> = first.iter().map(|it| it.id).collect();
    claimed.sort();
    assert_eq!(claimed, [a, b]);
    assert_eq!(
        (first[0].attempt(), first[0].status),
        (1, DocumentStatus::Queued)
    );
    let (_, second) = bench.claim().await;
    assert_eq!(
        second.iter().map(|it| it.id).collect::<Vec<_>>(),
        [other.id]
    );
    assert!(bench.claim().await.1.is_empty());
    assert!(!bench.store.has_work(bench.now()).await.unwrap());
}

pub async fn work_is_hidden_until_its_event_or_its_time(bench: Bench) {
    let later = bench.now() + Duration::from_secs(5);
    let mut item = bench.upload("a");
    item.stamp.visible_at = later;
    bench
        .store
        .accept(std::slice::from_ref(&item))
        .await
        .unwrap();
    assert!(bench.claim().await.1.is_empty());
    let work = DocumentWork {
        tenant_id: bench.tenant,
        document_id: item.id,
        version: 1,
        action: WorkAction::Ingest,
    };
    let event: EventId = bench.ids.next();
    let stale = (bench.ids.next(), DocumentWork { version: 9, ..work });
    let announced = bench
        .store
        .announce(&[stale, (event, work)], bench.now())
        .await
        .unwrap();
    assert_eq!(announced, 1);
    let (claim, claimed) = bench.claim().await;
    assert_eq!(claimed.len(), 1);
    let failure = Failure {
        code: "c".to_owned(),
        message: "m".to_owned(),
    };
    let delay = Duration::from_secs(9);
    bench
        .settle(
            claim,
            Outcome::Again {
                id: item.id,
                failure,
                delay,
            },
        )
        .await;
    // The same event has its effect once; another one does not hurry a failed attempt.
    let again = [(event, work), (bench.ids.next(), work)];
    assert_eq!(bench.store.announce(&again, bench.now()).await.unwrap(), 0);
    assert!(bench.claim().await.1.is_empty());
    bench.clock.advance(delay);
    assert_eq!(bench.claim().await.1[0].attempts, 1);
}

pub async fn a_lease_that_ran_out_is_taken_over_alone_and_counted(bench: Bench) {
    let a = bench.accept("a").await;
    bench.accept("b").await;
    let (old, both) = bench.claim().await;
    assert_eq!(both.len(), 2);
    bench.clock.advance(Duration::from_secs(61));
    let (new, one) = bench.claim().await;
    assert_eq!((one.len(), one[0].losses, one[0].attempt()), (1, 1, 2));
    // The old worker wakes up: what was taken over is not its own any more.
    let held = bench.store.held(old).await.unwrap();
    assert!(!held.contains(&one[0].id));
    if one[0].id == a {
        assert!(
            bench
                .store
                .put_chunks(old, &[bench.parsed(a, 1)])
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            bench
                .store
                .put_chunks(new, &[bench.parsed(a, 1)])
                .await
                .unwrap(),
            [a]
        );
    }
    let until = bench.now() + Duration::from_mins(10);
    let renewed = bench.store.renew(new, until, bench.now()).await.unwrap();
    assert_eq!(renewed, [one[0].id]);
    bench.clock.advance(Duration::from_secs(61));
    let (_, other) = bench.claim().await;
    assert_ne!(other[0].id, one[0].id);
    assert!(bench.claim().await.1.is_empty());
}

pub async fn recovery_frees_the_leases_of_the_dead(bench: Bench) {
    let id = bench.accept("a").await;
    bench.claim().await;
    assert!(bench.claim().await.1.is_empty());
    if bench.shared {
        // Another process may be at work on it.
        assert_eq!(bench.store.recover(bench.now()).await.unwrap(), 0);
        bench.clock.advance(Duration::from_secs(61));
    }
    assert_eq!(bench.store.recover(bench.now()).await.unwrap(), 1);
    let (_, claimed) = bench.claim().await;
    assert_eq!((claimed[0].id, claimed[0].losses), (id, 1));
}

pub async fn a_wait_is_no_attempt_and_told_once(bench: Bench) {
    let id = bench.accept("a").await;
    for round in 0..3 {
        let (claim, claimed) = bench.claim().await;
        assert_eq!((claimed[0].attempts, claimed[0].waits), (0, round));
        let failure = Failure {
            code: "away".to_owned(),
            message: "gone".to_owned(),
        };
        let delay = Duration::from_secs(5);
        let wait = Outcome::Waiting {
            id,
            passed: Vec::new(),
            failure,
            delay,
        };
        assert!(bench.settle(claim, wait).await);
        assert!(bench.claim().await.1.is_empty());
        bench.clock.advance(delay);
    }
    assert_eq!(bench.status(id).await, DocumentStatus::Queued);
    let timeline = bench.store.timeline(bench.tenant, id).await.unwrap();
    assert_eq!(timeline.len(), 2);
    assert_eq!(timeline[1].detail.as_deref(), Some("waits: gone"));
}
