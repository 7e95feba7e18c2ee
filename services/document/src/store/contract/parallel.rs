//! What several requests and workers at once may rely on.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::*;

/// So many transactions run at once.
const AT_ONCE: usize = 8;

pub async fn a_key_used_at_once_makes_one_document(bench: Bench) {
    let items: Vec<_> = (0..AT_ONCE)
        .map(|_| Accept {
            idempotency: Some(("key".to_owned(), [1; 32])),
            ..bench.upload("a")
        })
        .collect();
    let answers = join_all(
        items
            .iter()
            .map(|item| bench.store.accept(std::slice::from_ref(item))),
    )
    .await;
    let answers: Vec<_> = answers.into_iter().map(|it| it.unwrap()[0]).collect();
    let new: Vec<_> = answers
        .iter()
        .filter_map(|answer| match answer {
            Accepted::New { id, .. } => Some(*id),
            _ => None,
        })
        .collect();
    assert_eq!(new.len(), 1, "{answers:?}");
    let repeated = Accepted::Repeated {
        id: new[0],
        version: 1,
    };
    let others = answers.iter().filter(|answer| **answer == repeated).count();
    assert_eq!(others, AT_ONCE - 1, "{answers:?}");
    assert_eq!(bench.store.stats().await.unwrap().queued, 1);
}

pub async fn new_versions_at_once_are_numbered_in_a_row(bench: Bench) {
    let id = bench.accept("a").await;
    let items: Vec<_> = (0..AT_ONCE)
        .map(|number| Accept {
            id,
            replaces: true,
            ..bench.upload(&format!("v{number}"))
        })
        .collect();
    let answers = join_all(
        items
            .iter()
            .map(|item| bench.store.accept(std::slice::from_ref(item))),
    )
    .await;
    let versions: BTreeSet<_> = answers
        .into_iter()
        .map(|answer| match answer.unwrap()[0] {
            Accepted::New { version, .. } => version,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(versions, (2..=9).collect());
    let document = bench.store.document(bench.tenant, id).await.unwrap();
    assert_eq!(document.unwrap().version, 9);
    let (_, claimed) = bench.claim().await;
    assert_eq!((claimed.len(), claimed[0].version), (1, 9));
}

pub async fn workers_that_claim_at_once_share_the_work(bench: Bench) {
    let mut documents = BTreeSet::new();
    for number in 0..60 {
        documents.insert(bench.accept(&number.to_string()).await);
    }
    bench.clock.advance(Duration::from_millis(1));
    let mut claimed = Vec::new();
    for _ in 0..10 {
        let groups = join_all((0..AT_ONCE).map(|_| bench.claim())).await;
        claimed.extend(groups.into_iter().flat_map(|(_, group)| group));
    }
    let ids: BTreeSet<_> = claimed.iter().map(|it| it.id).collect();
    assert_eq!((claimed.len(), ids), (60, documents));
}

/// A document is deleted, replaced, stopped and worked on at once: every try of this ends with the
/// work of the last request done, or the document gone.
pub async fn requests_and_workers_at_once_agree_on_the_end(bench: Bench) {
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(bench.accept(&number.to_string()).await);
    }
    bench.clock.advance(Duration::from_millis(1));
    let (claim, claimed) = bench.claim().await;
    assert_eq!(claimed.len(), 6);
    let parsed: Vec<_> = ids.iter().map(|id| bench.parsed(*id, 1)).collect();
    let outcomes: Vec<_> = ids.iter().map(|id| bench.indexed(*id)).collect();
    let stamps: Vec<_> = (0..6).map(|_| bench.stamp()).collect();
    let replace = Accept {
        id: ids[2],
        replaces: true,
        ..bench.upload("new")
    };
    let worker = async {
        bench.store.put_chunks(claim, &parsed).await.unwrap();
        bench
            .store
            .settle(claim, &outcomes, bench.now())
            .await
            .unwrap()
    };
    let store = &bench.store;
    let (settled, deleted, cancelled, replaced, _) = tokio::join!(
        worker,
        store.delete(bench.tenant, ids[0], &stamps[0]),
        store.cancel(bench.tenant, ids[1], &stamps[1]),
        store.accept(std::slice::from_ref(&replace)),
        store.renew(claim, bench.now() + Duration::from_mins(1), bench.now()),
    );
    assert!(deleted.unwrap());
    let stopped = cancelled.unwrap().unwrap().is_ok();
    assert_eq!(
        replaced.unwrap(),
        [Accepted::New {
            id: ids[2],
            version: 2
        }]
    );
    // Nobody else's documents suffered.
    for id in &ids[3..] {
        assert!(settled.contains(id));
        assert_eq!(bench.status(*id).await, DocumentStatus::Indexed);
    }
    if stopped {
        assert_eq!(bench.status(ids[1]).await, DocumentStatus::Cancelled);
    }
    // What the requests queued is claimed now, once, in their version.
    bench.clock.advance(Duration::from_secs(1));
    let (_, left) = bench.claim().await;
    let left: BTreeSet<_> = left.iter().map(|it| (it.id, it.version)).collect();
    assert!(
        left.contains(&(ids[0], 1)) && left.contains(&(ids[2], 2)),
        "{left:?}"
    );
    assert_eq!(left.len(), 2 + usize::from(stopped));
}

/// The commit got through and its answer did not; the same is sent again.
pub async fn an_accept_whose_answer_got_lost_can_be_repeated(bench: Bench) {
    if !bench.shared {
        // There is no wire between us and the file.
        return;
    }
    let item = bench.upload("a");
    let new = Accepted::New {
        id: item.id,
        version: 1,
    };
    for _ in 0..3 {
        let answer = bench.store.accept(std::slice::from_ref(&item)).await;
        assert_eq!(answer.unwrap(), [new]);
    }
    assert_eq!(bench.story(item.id).await, ["v1 queued #1"]);
}
