//! The contract of every quota store.

use std::sync::Arc;
use std::time::Duration;

use touchstone_cache::quota::{Algorithm, Policy, Tier, Verdict};

use crate::support::{PATIENCE, Store, rule, strict, window};

/// Makes a test of each rule for the store that the expression opens.
macro_rules! suite {
    ($open:expr) => {
        $crate::quotas::suite!($open; admits_as_many_as_the_limit_says, two_hundred_at_once_get_a_hundred,
            all_windows_decide_together, batches_cost_their_items, subjects_and_scopes_are_apart,
            unused_units_come_back, looking_costs_nothing, waits_are_told);
    };
    ($open:expr; $($rule:ident),+) => {$(
        #[tokio::test]
        async fn $rule() {
            if let Some(store) = $open {
                $crate::quotas::$rule(&store).await;
                let report = store.life.shutdown($crate::support::PATIENCE).await;
                assert!(report.is_clean(), "{report:?}");
            }
        }
    )+};
}
pub(crate) use suite;

/// Longer than any test takes, so that nothing comes back meanwhile.
const LONG: Duration = Duration::from_hours(10);

async fn passes(store: &Store, subject: &str, policy: &Policy, cost: u64) -> bool {
    let decision = store.quotas.charge(subject, policy, cost).await.unwrap();
    decision.verdict.is_admitted()
}

async fn left(store: &Store, subject: &str, policy: &Policy) -> Vec<u64> {
    let standings = store.quotas.standings(subject, policy).await;
    standings
        .iter()
        .map(|standing| standing.remaining)
        .collect()
}

pub async fn admits_as_many_as_the_limit_says(store: &Store) {
    for algorithm in [Algorithm::Strict, Algorithm::Gcra] {
        // Stores on a server mean all their limits alike; this one is not asked to fall back.
        let policy = Policy::new(
            format!("{algorithm:?}"),
            algorithm,
            vec![rule(&format!("{algorithm:?}"), vec![window("w", 7, LONG)])],
        );
        let mut passed = 0;
        for _ in 0..20 {
            passed += usize::from(passes(store, "a", &policy, 1).await);
        }
        assert_eq!(passed, 7, "{algorithm:?}");
    }
}

pub async fn two_hundred_at_once_get_a_hundred(store: &Store) {
    let policy = Arc::new(strict(vec![window("w", 100, LONG)]));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (quotas, policy) = (Arc::clone(&store.quotas), Arc::clone(&policy));
        calls.spawn(async move {
            let decision = quotas.charge("many", &policy, 1).await.unwrap();
            decision.verdict.is_admitted()
        });
    }
    let passed = calls.join_all().await;
    assert_eq!(passed.iter().filter(|passed| **passed).count(), 100);
}

pub async fn all_windows_decide_together(store: &Store) {
    let rules = vec![
        rule(
            "all",
            vec![window("short", 10, LONG / 10), window("long", 20, LONG)],
        ),
        rule("class", vec![window("class", 3, LONG)]),
    ];
    let policy = Policy::new("p", Algorithm::Strict, rules);
    for _ in 0..3 {
        assert!(passes(store, "a", &policy, 1).await);
    }
    for _ in 0..5 {
        let denied = store.quotas.charge("a", &policy, 1).await.unwrap();
        assert!(matches!(denied.verdict, Verdict::Denied { window: 2, .. }));
    }
    // The denials were charged nowhere.
    assert_eq!(left(store, "a", &policy).await, [7, 17, 0]);
}

pub async fn batches_cost_their_items(store: &Store) {
    let policy = strict(vec![window("w", 1000, LONG)]);
    assert!(passes(store, "a", &policy, 999).await);
    assert!(!passes(store, "a", &policy, 2).await);
    assert!(passes(store, "a", &policy, 1).await);
    let never = store.quotas.charge("b", &policy, 1001).await.unwrap();
    assert_eq!(
        never.verdict,
        Verdict::Denied {
            window: 0,
            retry_after: None
        }
    );
    assert_eq!(left(store, "b", &policy).await, [1000]);
}

pub async fn subjects_and_scopes_are_apart(store: &Store) {
    let limits = || vec![window("w", 1, LONG)];
    let one = Policy::new("one", Algorithm::Strict, vec![rule("one", limits())]);
    let other = Policy::new("other", Algorithm::Strict, vec![rule("other", limits())]);
    for subject in ["a", "b", "a|b"] {
        assert!(passes(store, subject, &one, 1).await);
        assert!(!passes(store, subject, &one, 1).await);
        assert!(passes(store, subject, &other, 1).await);
    }
    // Policies that share a scope share its count.
    let third = Policy::new("third", Algorithm::Strict, vec![rule("one", limits())]);
    assert!(!passes(store, "a", &third, 1).await);
}

pub async fn unused_units_come_back(store: &Store) {
    let policy = strict(vec![window("w", 100, LONG)]).leases(false);
    let decision = store.quotas.charge("a", &policy, 80).await.unwrap();
    let receipt = decision.receipt.unwrap();
    store.quotas.refund("a", &policy, receipt, 50).await;
    assert_eq!(left(store, "a", &policy).await, [70]);
    // Never more than was charged.
    store.quotas.refund("a", &policy, receipt, 1000).await;
    assert_eq!(left(store, "a", &policy).await, [100]);
}

pub async fn looking_costs_nothing(store: &Store) {
    let policy = strict(vec![window("w", 3, LONG)]);
    for _ in 0..10 {
        assert_eq!(left(store, "a", &policy).await, [3]);
    }
}

pub async fn waits_are_told(store: &Store) {
    // Parts of a tenth of a second.
    let period = Duration::from_millis(1200);
    let policy = strict(vec![window("w", 2, period)]);
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        assert!(
            tokio::time::Instant::now() < patience,
            "never denied, or never again admitted"
        );
        let decision = store.quotas.charge("a", &policy, 1).await.unwrap();
        let Verdict::Denied { retry_after, .. } = decision.verdict else {
            continue;
        };
        let wait = retry_after.expect("it passes later");
        assert!(wait <= period + period / 12, "{wait:?}");
        assert_eq!(decision.standings[0].remaining, 0);
        tokio::time::sleep(wait + Duration::from_millis(1)).await;
        let again = store.quotas.charge("a", &policy, 1).await.unwrap();
        assert!(
            again.verdict.is_admitted(),
            "told to wait {wait:?}: {again:?}"
        );
        assert_ne!(again.tier, Tier::Remembered);
        return;
    }
}
