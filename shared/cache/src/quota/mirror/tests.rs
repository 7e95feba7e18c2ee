use super::*;
use crate::quota::policy::tests::window;

const REPLICAS: u64 = 3;

fn policy(limit: u32) -> Policy {
    let rule = Rule {
        scope: "all".into(),
        windows: vec![window("minute", limit, 60)],
    };
    Policy::new("p", Algorithm::Strict, vec![rule]).leases(false)
}

fn at(millis: u64) -> Instant {
    Instant::from_micros(1_000_000 * 3600 + millis * 1000)
}

/// The server's word that so much is left, after it granted `granted`.
fn told(granted: u64, left: u64) -> Reply {
    Reply {
        admitted: granted > 0,
        window: 0,
        wait: Some(Duration::from_millis(1)),
        granted,
        now: at(0),
        born: vec![1],
        standings: Arc::new([Standing {
            remaining: left,
            reset: Duration::from_mins(1),
        }]),
    }
}

/// How many of a hundred requests pass without the server.
fn pass_alone(mirror: &mut Mirror, policy: &Policy, millis: u64) -> usize {
    let decide = |_: &i32| {
        let decision = mirror.alone(policy, at(millis), 1, REPLICAS);
        decision.verdict.is_admitted()
    };
    (0..100).filter(decide).count()
}

#[test]
fn a_server_that_is_away_now_and_then_has_no_more_admitted_than_was_left() {
    let policy = policy(1000);
    let mut mirror = Mirror::default();
    let mut admitted = 0;
    for round in 0..50 {
        mirror.after(&policy, at(round), at(round), 1, &told(0, 0));
        admitted += pass_alone(&mut mirror, &policy, round);
    }
    assert_eq!(admitted, 0, "nothing was left");
}

#[test]
fn what_was_left_is_shared_once_however_often_debts_are_paid() {
    let policy = policy(1000);
    let mut mirror = Mirror::default();
    mirror.after(&policy, at(0), at(0), 1, &told(1, 30));
    let mut admitted = 0;
    for round in 1..20 {
        admitted += pass_alone(&mut mirror, &policy, round);
        let Some(job) = mirror.job(at(round)) else {
            continue;
        };
        mirror.done(&job, &[1]);
    }
    assert_eq!(admitted, 10, "a third of what was left");
}

#[test]
fn of_a_limit_below_the_number_of_replicas_one_passes_while_one_is_left() {
    let policy = policy(2);
    let mut mirror = Mirror::default();
    mirror.after(&policy, at(0), at(0), 1, &told(0, 1));
    assert_eq!(pass_alone(&mut mirror, &policy, 1), 1);
    mirror.after(&policy, at(2), at(2), 1, &told(0, 0));
    assert_eq!(pass_alone(&mut mirror, &policy, 3), 0);
}

#[test]
fn a_server_whose_answers_do_not_come_is_asked_for_one_lease() {
    let policy = policy(1000).leases(true);
    let mut mirror = Mirror::default();
    mirror.after(&policy, at(0), at(0), 1, &told(1, 900));
    let asked_for_lease = |mirror: &mut Mirror, from: u64| -> usize {
        let ask = |tenth: &u64| match mirror.before(&policy, at(from + tenth * 100), 1, REPLICAS) {
            Next::Ask(ask) => ask.most > 1,
            Next::Decided(_) => false,
        };
        (1..100).filter(ask).count()
    };
    assert_eq!(asked_for_lease(&mut mirror, 0), 1);
    // An answer tells what is left without it.
    mirror.after(&policy, at(10_000), at(10_000), 1, &told(1, 800));
    assert_eq!(asked_for_lease(&mut mirror, 10_000), 1);
}
