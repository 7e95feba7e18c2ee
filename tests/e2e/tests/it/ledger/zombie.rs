//! Two instances of each service, of which one is frozen in the middle of its work and goes on when
//! the other has long taken over: two relays, two members of a group, two holders of a lease.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use touchstone_stack::Service;

use super::observe;
use super::reconcile::{Findings, reconcile};
use super::record::Class;
use super::{CLIENTS, Run, until};
use crate::support::client::PATIENCE;
use crate::support::pair::{alone, pair};
use crate::support::{Client, Servers};

const OPERATIONS: usize = 600;
/// Freezes, in turns of the two instances.
const FREEZES: usize = 4;
/// Longer than the session of a consumer (6 s) and the lease of a relay (5 s).
const FROZEN: Duration = Duration::from_secs(9);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_frozen_instance_held_goes_to_the_other_and_nothing_is_doubled() {
    let Some(servers) = Servers::shared().await else {
        return;
    };
    let halves = Box::pin(pair(&servers, alone(&servers))).await;
    let user = Client::register(&halves[0].gateway, "zombie").await;
    let user = user.with_api_key().await;
    let outside = tempfile::tempdir().unwrap();
    let run = Arc::new(Run::new(user.clone(), outside.path(), OPERATIONS));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(Arc::clone(&run).work());
    }
    let (mut meanwhile, mut hit) = (0, 0);
    for number in 0..FREEZES {
        // A share before each freeze and one during it, so that a fast machine has work for both.
        let share = |shares: usize| OPERATIONS * shares / (2 * FREEZES + 1);
        run.released.store(share(2 * number + 1), Ordering::SeqCst);
        let busy = || run.in_flight.load(Ordering::SeqCst) > 0;
        let begun = share(2 * number) + CLIENTS;
        until(&run, || run.next.load(Ordering::SeqCst) >= begun && busy()).await;
        hit += usize::from(busy());
        let frozen = &halves[number % 2];
        frozen.freeze(Service::Document).await;
        let (since, before) = (Instant::now(), run.ledger.count(Class::Ok));
        run.released.store(share(2 * number + 2), Ordering::SeqCst);
        // The other one takes in, relays and indexes while this one holds what it holds.
        until(&run, || run.ledger.count(Class::Ok) >= before + CLIENTS).await;
        tokio::time::sleep(FROZEN.saturating_sub(since.elapsed())).await;
        meanwhile += run.ledger.count(Class::Ok) - before;
        frozen.thaw(Service::Document).await;
    }
    run.released.store(OPERATIONS, Ordering::SeqCst);
    let joined = tokio::time::timeout(PATIENCE * 3, clients.join_all()).await;
    joined.unwrap();
    observe::rest(&user).await;
    for half in &halves {
        observe::relayed(&half.url(Service::Document)).await;
    }
    let stored = observe::stored(&user).await;
    let findings = reconcile(&run.ledger.entries(), &stored);
    let [ok, info] = [Class::Ok, Class::Info].map(|it| run.ledger.count(it));
    println!("{ok} ok, {info} indefinite, {meanwhile} accepted during {FREEZES} freezes");
    assert_eq!(findings, Findings::default());
    assert!(hit * 10 >= FREEZES * 8, "{hit} of {FREEZES} hit work");
    assert!(info > 0, "no freeze was felt");
    assert!(ok * 10 >= OPERATIONS * 7, "only {ok} of {OPERATIONS}");
    for half in halves {
        half.stop().await;
    }
}
