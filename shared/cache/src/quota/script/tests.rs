use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use touchstone_resilience::window::Ring;

use super::*;
use crate::quota::book::Scopes;
use crate::quota::memory;
use crate::quota::policy::Window;

/// Some afternoon in 2026, in the microseconds of a server.
const START: u64 = 1_795_000_000_000_000;

/// What happens to a subject.
#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Charge(u64),
    /// Gives back units of the latest charge.
    Refund(u64),
    Peek,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0u64..40_000_000).prop_map(Step::Wait),
        1 => (0u64..2_000_000_000).prop_map(Step::Wait),
        6 => (1u64..15).prop_map(Step::Charge),
        2 => (1u64..15).prop_map(Step::Refund),
        1 => Just(Step::Peek),
    ]
}

fn windows(periods: &'static [u64]) -> impl Strategy<Value = Vec<Window>> {
    let window = |period: u64| {
        (0u32..40, 0u32..12).prop_map(move |(limit, burst)| Window {
            name: format!("w{period}").into(),
            limit,
            period: Duration::from_secs(period),
            burst,
        })
    };
    periods
        .iter()
        .map(|period| window(*period))
        .collect::<Vec<_>>()
}

fn policies(algorithm: Algorithm) -> impl Strategy<Value = Policy> {
    let rule = |scope: &'static str| {
        move |windows| Rule {
            scope: scope.into(),
            windows,
        }
    };
    let all = windows(&[60, 3600, 86400]).prop_map(rule("all"));
    let class = windows(&[60, 97]).prop_map(rule("search"));
    let class = prop::option::of(class);
    (all, class).prop_map(move |(all, class)| {
        let rules = std::iter::once(all).chain(class).collect();
        Policy::new("p", algorithm, rules)
    })
}

async fn server() -> Option<Connection> {
    let server = touchstone_test_services::redis().await?;
    let connection = Connection::open(&format!("{}?timeout=30s", server.url())).unwrap();
    assert!(connection.settled(Duration::from_mins(1)).await);
    Some(connection)
}

fn property(algorithm: Algorithm) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let Some(connection) = runtime.block_on(server()) else {
        return;
    };
    let (scripts, keys) = (Scripts::new(), Keys::new("property"));
    let mut runner = TestRunner::new(Config {
        cases: 150,
        failure_persistence: None,
        ..Config::default()
    });
    let cases = (policies(algorithm), prop::collection::vec(step(), 1..40));
    let mut number = 0;
    let run = |(policy, steps): (Policy, Vec<Step>)| {
        number += 1;
        let subject = format!("{algorithm:?}-{number}-{}", std::process::id());
        runtime.block_on(compare(
            &connection,
            &scripts,
            &keys,
            &subject,
            &policy,
            &steps,
        ))
    };
    let run = std::cell::RefCell::new(run);
    runner.run(&cases, |case| (run.borrow_mut())(case)).unwrap();
}

async fn compare(
    connection: &Connection,
    scripts: &Scripts,
    keys: &Keys,
    subject: &str,
    policy: &Policy,
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let mut here = Scopes::default();
    let (mut now, mut charged) = (START, None);
    for step in steps {
        let cost = match step {
            Step::Wait(wait) => {
                now += wait;
                continue;
            }
            Step::Charge(cost) => *cost,
            Step::Peek => 0,
            Step::Refund(units) => {
                let Some((at, cost)) = charged.take() else {
                    continue;
                };
                let units = (*units).min(cost);
                let moment = Instant::from_micros(now);
                memory::refund(&mut here, policy, moment, at, units);
                scripts
                    .refund(connection, keys, subject, policy, (at, units), moment)
                    .await
                    .unwrap();
                continue;
            }
        };
        let moment = Instant::from_micros(now);
        let answer = scripts
            .charge(
                connection,
                keys,
                subject,
                policy,
                (cost, cost),
                &[],
                (moment, Instant::ZERO),
            )
            .await
            .unwrap();
        let Answer::Decided(there) = answer else {
            return Err(TestCaseError::fail(format!("{answer:?}")));
        };
        let (verdict, standings) = memory::decide(&mut here, policy, moment, cost);
        prop_assert_eq!(there.verdict(), verdict);
        prop_assert_eq!(&there.standings, &standings);
        prop_assert_eq!(there.now, moment);
        if there.granted > 0 {
            charged = Some((moment, cost));
        }
    }
    Ok(())
}

#[test]
fn the_script_decides_as_the_strict_windows_of_this_process() {
    property(Algorithm::Strict);
}

#[test]
fn the_script_decides_as_the_gcra_of_this_process() {
    property(Algorithm::Gcra);
}

fn one_window(algorithm: Algorithm, limit: u32) -> Policy {
    let rule = Rule {
        scope: "all".into(),
        windows: vec![Window {
            name: "minute".into(),
            limit,
            period: Duration::from_mins(1),
            burst: limit,
        }],
    };
    Policy::new("p", algorithm, vec![rule])
}

/// One server, one store of its own.
struct Bench {
    connection: Connection,
    scripts: Scripts,
    keys: Keys,
    policy: Policy,
}

impl Bench {
    async fn new(name: &str, algorithm: Algorithm, limit: u32) -> Option<Self> {
        Some(Self {
            connection: server().await?,
            scripts: Scripts::new(),
            keys: Keys::new(&format!("{name}-{}", std::process::id())),
            policy: one_window(algorithm, limit),
        })
    }

    async fn charge(&self, least: u64, most: u64, born: u64, now: u64) -> Answer {
        let now = Instant::from_micros(now);
        self.scripts
            .charge(
                &self.connection,
                &self.keys,
                "s",
                &self.policy,
                (least, most),
                &[born],
                (now, Instant::ZERO),
            )
            .await
            .unwrap()
    }

    async fn reply(&self, least: u64, most: u64, now: u64) -> Reply {
        match self.charge(least, most, 0, now).await {
            Answer::Decided(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn job(&self, epoch: u64, born: u64, lacking: &[(u64, u64)], whole: &[(u64, u64)]) -> Job {
        let windows = vec![(lacking.to_vec(), whole.to_vec())];
        Job::of(epoch, self.policy.rules()[0].clone(), born, windows)
    }

    async fn replay(&self, job: &Job) -> Vec<u64> {
        let algorithm = self.policy.algorithm;
        self.scripts
            .replay(&self.connection, &self.keys, "s", algorithm, "r1", job, 0)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn as_many_units_are_granted_as_there_are() {
    for algorithm in [Algorithm::Strict, Algorithm::Gcra] {
        let Some(bench) = Bench::new(&format!("grant-{algorithm:?}"), algorithm, 10).await else {
            return;
        };
        assert_eq!(bench.reply(1, 7, START).await.granted, 7);
        assert_eq!(bench.reply(1, 7, START).await.granted, 3);
        let denied = bench.reply(1, 7, START).await;
        assert!(!denied.admitted && denied.granted == 0);
    }
}

#[tokio::test]
async fn a_denial_and_a_look_write_nothing() {
    let Some(bench) = Bench::new("write", Algorithm::Strict, 10).await else {
        return;
    };
    assert_eq!(bench.reply(0, 0, START).await.born, [0]);
    assert!(!bench.reply(11, 11, START).await.admitted);
    let mut exists = redis::cmd("EXISTS");
    exists.arg(bench.keys.of("s", "all"));
    assert_eq!(bench.connection.run::<u64>(&exists).await.unwrap(), 0);
    assert!(bench.reply(1, 1, START).await.admitted);
    assert_eq!(bench.connection.run::<u64>(&exists).await.unwrap(), 1);
    // It ends by itself when nothing of it counts any more.
    let mut life = redis::cmd("PTTL");
    life.arg(bench.keys.of("s", "all"));
    let life: u64 = bench.connection.run(&life).await.unwrap();
    assert!((1..=70_000).contains(&life), "{life}");
}

#[tokio::test]
async fn keys_of_a_subject_lie_in_one_slot_and_not_those_of_all() {
    let keys = Keys::new("t");
    assert_eq!(keys.of("tenant|user", "all"), "t:quota:{tenant|user}:all");
    let Some(bench) = Bench::new("slot", Algorithm::Strict, 1).await else {
        return;
    };
    let mut slots = Vec::new();
    for (subject, scope) in [("a", "all"), ("a", "search"), ("b", "all")] {
        let mut slot = redis::cmd("CLUSTER");
        slot.arg("KEYSLOT").arg(bench.keys.of(subject, scope));
        match bench.connection.run::<u64>(&slot).await {
            Ok(slot) => slots.push(slot),
            // Servers without cluster support do not tell.
            Err(_) => return,
        }
    }
    assert!(slots[0] == slots[1] && slots[0] != slots[2], "{slots:?}");
}

#[tokio::test]
async fn a_state_that_was_lost_is_noticed_and_restored_once() {
    for algorithm in [Algorithm::Strict, Algorithm::Gcra] {
        let Some(bench) = Bench::new(&format!("lost-{algorithm:?}"), algorithm, 10).await else {
            return;
        };
        let born = bench.reply(4, 4, 0).await.born[0];
        assert!(born > 0);
        let mut forget = redis::cmd("DEL");
        forget.arg(bench.keys.of("s", "all"));
        bench.connection.run::<u64>(&forget).await.unwrap();
        assert_eq!(bench.charge(1, 1, born, 0).await, Answer::Lost);
        // All that was admitted, not what was lacking; and only once, however often it is sent.
        let job = bench.job(1, born, &[(0, 1)], &[(0, 4)]);
        let reborn = bench.replay(&job).await;
        assert_ne!(reborn[0], born);
        assert_eq!(bench.replay(&job).await, reborn);
        let left = |reply: Reply| reply.standings[0].remaining;
        assert_eq!(left(bench.reply(0, 0, 0).await), 6);
        // To a state that is known, what it lacks.
        let job = bench.job(2, reborn[0], &[(0, 2)], &[(0, 6)]);
        assert_eq!(bench.replay(&job).await, reborn);
        assert_eq!(left(bench.reply(0, 0, 0).await), 4);
        match bench.charge(1, 1, reborn[0], 0).await {
            Answer::Decided(reply) => assert_eq!(reply.born, reborn),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_comes_too_late_is_not_charged() {
    let Some(bench) = Bench::new("late", Algorithm::Strict, 5).await else {
        return;
    };
    let charge = async |deadline: u64| {
        let (now, deadline) = (Instant::from_micros(START), Instant::from_micros(deadline));
        let (connection, keys) = (&bench.connection, &bench.keys);
        bench
            .scripts
            .charge(
                connection,
                keys,
                "s",
                &bench.policy,
                (1, 1),
                &[],
                (now, deadline),
            )
            .await
            .unwrap()
    };
    assert_eq!(
        charge(START - 1).await,
        Answer::Late(Instant::from_micros(START))
    );
    assert_eq!(bench.reply(0, 0, START).await.standings[0].remaining, 5);
    assert!(matches!(charge(START).await, Answer::Decided(reply) if reply.admitted));
}

#[tokio::test]
async fn a_clock_that_jumps_back_denies_for_a_period_at_most() {
    const HOUR: u64 = 3_600_000_000;
    const MINUTE: u64 = 60_000_000;
    for algorithm in [Algorithm::Strict, Algorithm::Gcra] {
        let Some(bench) = Bench::new(&format!("jump-{algorithm:?}"), algorithm, 5).await else {
            return;
        };
        assert_eq!(bench.reply(1, 5, START).await.granted, 5);
        let back = START - HOUR;
        assert!(
            !bench.reply(1, 1, back).await.admitted,
            "it freed something"
        );
        let later = bench.reply(1, 1, back + 2 * MINUTE + 5_000_000).await;
        assert!(later.admitted, "{algorithm:?} is frozen: {later:?}");
    }
}

#[tokio::test]
async fn replicas_count_while_they_live() {
    let Some(bench) = Bench::new("beat", Algorithm::Strict, 1).await else {
        return;
    };
    let beat = async |replica: &str, stays: bool| {
        let life = Duration::from_mins(1);
        bench
            .scripts
            .beat(&bench.connection, &bench.keys, replica, life, stays)
            .await
            .unwrap()
    };
    assert_eq!(beat("a", true).await, 1);
    assert_eq!(beat("b", true).await, 2);
    assert_eq!(beat("a", true).await, 2);
    assert_eq!(beat("b", false).await, 1);
    let brief = Duration::from_millis(1);
    let (connection, keys) = (&bench.connection, &bench.keys);
    bench
        .scripts
        .beat(connection, keys, "c", brief, true)
        .await
        .unwrap();
    loop {
        // "a" has not been heard for a millisecond either.
        let alive = bench
            .scripts
            .beat(connection, keys, "d", brief, true)
            .await
            .unwrap();
        if alive == 1 {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn rings_have_the_slots_that_the_script_reckons_with() {
    assert_eq!(Ring::default().counts.len(), 13);
    assert!(include_str!("../lua/state.lua").contains("local SLOTS = 13"));
}
