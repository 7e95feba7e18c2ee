use super::*;

const MILLI: u64 = 1000;

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * MILLI)
}

fn exact() -> Breaker {
    Breaker::new(Config {
        jitter: 0.0,
        ..Config::default()
    })
}

fn call(breaker: &Breaker, millis: u64, outcome: Outcome) -> Option<Change> {
    let mut permit = breaker.admit(at(millis)).unwrap();
    permit.report(at(millis), outcome)
}

fn opened(reason: Reason, millis: u64) -> Change {
    Change::Opened {
        reason,
        lasts: Duration::from_millis(millis),
    }
}

/// Five failures, at the given time.
fn trip(breaker: &Breaker, millis: u64) -> Option<Change> {
    (0..5).fold(None, |_, _| call(breaker, millis, Outcome::FAILURE))
}

#[test]
fn five_failures_in_a_row_open_it_and_a_probe_closes_it() {
    let breaker = exact();
    for _ in 0..4 {
        assert_eq!(call(&breaker, 0, Outcome::FAILURE), None);
    }
    let change = call(&breaker, 0, Outcome::FAILURE);
    assert_eq!(change, Some(opened(Reason::FailuresInARow, 500)));
    let refused = breaker.admit(at(100)).unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_millis(400));
    assert!(!breaker.is_ready(at(499)));

    let mut probe = breaker.admit(at(500)).unwrap();
    assert!(probe.is_probe());
    assert!(breaker.admit(at(501)).is_err(), "one probe at a time");
    assert_eq!(
        probe.report(at(510), Outcome::Success),
        Some(Change::Closed)
    );
    assert_eq!(breaker.snapshot(at(510)).state, State::Closed);
    assert!(!breaker.admit(at(510)).unwrap().is_probe());
}

#[test]
fn a_success_between_failures_ends_their_run_and_bad_requests_do_not() {
    let breaker = exact();
    for _ in 0..4 {
        call(&breaker, 0, Outcome::FAILURE);
    }
    call(&breaker, 0, Outcome::Success);
    assert_eq!(breaker.snapshot(at(0)).failures_in_a_row, 0);
    for _ in 0..4 {
        call(&breaker, 0, Outcome::FAILURE);
        call(&breaker, 0, Outcome::Refused);
        call(&breaker, 0, Outcome::Neutral);
    }
    let change = call(&breaker, 0, Outcome::FAILURE);
    assert_eq!(change, Some(opened(Reason::FailuresInARow, 500)));
}

#[test]
fn half_of_the_calls_failing_opens_it_at_the_twentieth() {
    let breaker = exact();
    let mut calls = 0;
    let change = loop {
        calls += 1;
        let outcome = match calls % 2 {
            0 => Outcome::FAILURE,
            _ => Outcome::Success,
        };
        if let Some(change) = call(&breaker, calls, outcome) {
            break change;
        }
    };
    assert_eq!(calls, 20);
    assert_eq!(change, opened(Reason::SuccessShare, 500));
}

#[test]
fn four_of_five_succeeding_is_enough() {
    let breaker = exact();
    for n in 1..=1000 {
        let outcome = match n % 5 {
            0 => Outcome::FAILURE,
            _ => Outcome::Success,
        };
        assert_eq!(call(&breaker, n, outcome), None, "call {n}");
    }
}

#[test]
fn old_failures_are_forgotten() {
    let breaker = exact();
    for second in 0..100 {
        for outcome in [Outcome::FAILURE, Outcome::Success] {
            // Two in a second are twenty in ten of them: one short when the next one is judged.
            if second % 2 == 0 {
                assert_eq!(call(&breaker, second * 1000, outcome), None);
            }
        }
    }
    assert_eq!(breaker.snapshot(at(99_000)).failed, 5);
}

#[test]
fn slow_starts_open_it_and_soft_refusals_count_for_the_share_only() {
    let breaker = exact();
    let changes: Vec<Change> = (1..=21)
        .filter_map(|n| {
            let mut permit = breaker.admit(at(n)).ok()?;
            permit.report(at(n), Outcome::Slow)
        })
        .collect();
    assert_eq!(
        changes.first().copied(),
        Some(opened(Reason::SlowShare, 500)),
        "{changes:?}"
    );

    let breaker = exact();
    let soft = Outcome::Overloaded {
        retry_after: Some(Duration::from_secs(3)),
    };
    for n in 1..20 {
        assert_eq!(call(&breaker, n, soft), None);
    }
    assert_eq!(
        call(&breaker, 20, soft),
        Some(opened(Reason::SuccessShare, 3000))
    );
}

#[test]
fn probes_that_fail_double_the_time_up_to_five_seconds() {
    let breaker = exact();
    trip(&breaker, 0);
    let (mut now, mut waits) = (0, Vec::new());
    for _ in 0..6 {
        now += micros(breaker.ready_in(at(now))) / MILLI;
        call(&breaker, now, Outcome::FAILURE);
        waits.push(breaker.ready_in(at(now)).as_millis());
    }
    assert_eq!(waits, [1000, 2000, 4000, 5000, 5000, 5000]);
}

#[test]
fn the_longest_time_holds_with_its_variation_and_what_is_asked_for_first_is_kept() {
    for seed in 0..50 {
        let breaker = Breaker::new(Config {
            seed,
            ..Config::default()
        });
        trip(&breaker, 0);
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..12 {
            now += micros(breaker.ready_in(at(now))) / MILLI + 1;
            call(&breaker, now, Outcome::FAILURE);
            waits.push(breaker.ready_in(at(now)));
        }
        let late = &waits[4..];
        let most = late.iter().max().unwrap();
        assert!(*most <= Duration::from_millis(5001), "{most:?}");
        let least = late.iter().min().unwrap();
        assert!(*least >= Duration::from_millis(1600), "{least:?}");
        let spread = most.abs_diff(*least);
        assert!(spread > Duration::from_millis(300), "{waits:?}");
    }
    let breaker = Breaker::new(Config {
        open_for: Duration::from_mins(1),
        jitter: 0.0,
        ..Config::default()
    });
    assert_eq!(
        trip(&breaker, 0),
        Some(opened(Reason::FailuresInARow, 60_000))
    );
}

#[test]
fn what_was_passed_on_from_behind_opens_nothing_and_closes_what_is_half_open() {
    let breaker = exact();
    for n in 0..100 {
        assert_eq!(call(&breaker, n, Outcome::Relayed), None);
    }
    let counts = breaker.snapshot(at(100));
    assert_eq!((counts.failed, counts.failures_in_a_row), (0, 0));
    trip(&breaker, 1000);
    assert_eq!(
        call(&breaker, 1500, Outcome::Relayed),
        Some(Change::Closed),
        "it is there"
    );
    // Nor does it hide failures of the upstream's own.
    for _ in 0..4 {
        call(&breaker, 20_000, Outcome::FAILURE);
        call(&breaker, 20_000, Outcome::Relayed);
    }
    assert_eq!(
        call(&breaker, 20_000, Outcome::FAILURE),
        Some(opened(Reason::FailuresInARow, 500))
    );
}

#[test]
fn what_flaps_stays_open_longer_and_what_held_starts_over() {
    let breaker = exact();
    trip(&breaker, 0);
    call(&breaker, 500, Outcome::Success);
    assert_eq!(
        trip(&breaker, 600),
        Some(opened(Reason::FailuresInARow, 1000)),
        "closed for 0.1 s"
    );
    call(&breaker, 1600, Outcome::Success);
    assert_eq!(
        trip(&breaker, 11_600),
        Some(opened(Reason::FailuresInARow, 500))
    );
}

#[test]
fn retry_after_prolongs_the_open_time_within_reason() {
    let breaker = exact();
    let asks = |seconds| Outcome::Failure {
        retry_after: Some(Duration::from_secs(seconds)),
    };
    for _ in 0..4 {
        call(&breaker, 0, asks(3));
    }
    assert_eq!(
        call(&breaker, 0, asks(3)),
        Some(opened(Reason::FailuresInARow, 3000))
    );
    assert_eq!(
        call(&breaker, 3000, asks(86_400)),
        Some(opened(Reason::ProbeFailed, 5000))
    );
}

#[test]
fn a_probe_that_is_dropped_gives_its_place_back() {
    let breaker = exact();
    trip(&breaker, 0);
    let probe = breaker.admit(at(500)).unwrap();
    drop(probe);
    let mut probe = breaker.admit(at(501)).unwrap();
    assert!(probe.is_probe());
    probe.report(at(502), Outcome::Neutral);
    drop(probe);
    assert!(breaker.admit(at(503)).unwrap().is_probe());
}

#[test]
fn a_probe_that_never_ends_makes_room_for_another() {
    let breaker = exact();
    trip(&breaker, 0);
    let mut hanging = breaker.admit(at(500)).unwrap();
    assert!(breaker.admit(at(5_499)).is_err());
    let mut second = breaker.admit(at(5_500)).unwrap();
    assert!(hanging.is_probe() && second.is_probe());
    assert_eq!(hanging.report(at(5_600), Outcome::FAILURE), None);
    assert!(breaker.admit(at(5_700)).is_err(), "the second one decides");
    assert_eq!(
        second.report(at(5_800), Outcome::Success),
        Some(Change::Closed)
    );
}

#[test]
fn the_first_probe_that_succeeds_closes_it_however_long_it_took() {
    let breaker = exact();
    trip(&breaker, 0);
    // Every answer takes 12 s: each probe is past being waited for when it comes.
    let mut probes: Vec<Permit> = [500, 5_500, 10_500]
        .map(|millis| breaker.admit(at(millis)).unwrap())
        .into();
    assert_eq!(
        probes[0].report(at(12_500), Outcome::Success),
        Some(Change::Closed)
    );
    assert!(!breaker.admit(at(12_500)).unwrap().is_probe());
    for late in &mut probes[1..] {
        assert_eq!(late.report(at(23_000), Outcome::FAILURE), None);
    }
    assert_eq!(breaker.snapshot(at(23_000)).state, State::Closed);

    // But not one of an earlier time that it was open.
    trip(&breaker, 30_000);
    let mut early = breaker.admit(at(31_000)).unwrap();
    let mut decided = breaker.admit(at(36_000)).unwrap();
    decided.report(at(36_100), Outcome::FAILURE);
    assert_eq!(early.report(at(36_200), Outcome::Success), None);
    assert_eq!(breaker.snapshot(at(36_200)).state, State::Open);
}

#[test]
fn what_comes_back_late_is_no_news() {
    let breaker = exact();
    let mut late: Vec<Permit> = (0..10).map(|_| breaker.admit(at(0)).unwrap()).collect();
    trip(&breaker, 1);
    call(&breaker, 501, Outcome::Success);
    for permit in &mut late {
        assert_eq!(permit.report(at(502), Outcome::FAILURE), None);
    }
    assert_eq!(breaker.snapshot(at(502)).failed, 0);
}

#[test]
fn open_times_vary_by_half_and_repeat_by_seed() {
    let times = |seed| -> Vec<Duration> {
        let breaker = Breaker::new(Config {
            seed,
            ..Config::default()
        });
        (0..200)
            .map(|n| {
                // Far apart, so that each opening starts over.
                let now = n * 100_000;
                trip(&breaker, now);
                let lasts = breaker.ready_in(at(now));
                call(&breaker, now + 1000, Outcome::Success);
                lasts
            })
            .collect()
    };
    let drawn = times(3);
    assert_eq!(drawn, times(3));
    let (least, most) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
    assert!((250..270).contains(&least.as_millis()), "{least:?}");
    assert!((730..=751).contains(&most.as_millis()), "{most:?}");
}

#[test]
fn one_of_many_threads_is_the_probe() {
    let breaker = exact();
    trip(&breaker, 0);
    for round in 0..200 {
        let now = breaker.ready_in(at(0)) + Duration::from_secs(round * 100);
        let now = Instant::ZERO + now;
        let probes: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| breaker.admit(now).ok()))
                .collect();
            let permits: Vec<Option<Permit>> = threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect();
            // Counted while all of them are held.
            permits.iter().flatten().filter(|p| p.is_probe()).count()
        });
        assert_eq!(probes, 1, "round {round}");
    }
}
