use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::random::Draws;

const SECOND: u64 = 1_000_000;

/// An upstream of `workers` that each need a drawn time, with a queue before them, behind a limit
/// that refuses at once. Demand is a multiple of capacity with random arrivals.
struct World {
    limit: Limit,
    draws: Draws,
    workers: usize,
    service_micros: f64,
    overload: f64,
    /// Share of calls that fail after 1 ms without any work.
    fast_errors: f64,
    now: u64,
    next_arrival: u64,
    /// Ends of what is worked on: (end, arrival, calls under way at arrival, failed).
    busy: BinaryHeap<Reverse<(u64, u64, u32, bool)>>,
    waiting: VecDeque<(u64, u32)>,
    working: usize,
    /// Nothing that is worked on ends before.
    frozen_until: u64,
}

#[derive(Default, Debug)]
struct Seen {
    good: u64,
    refused: u64,
    times: Vec<u64>,
}

impl Seen {
    fn quantile(&mut self, share: f64) -> u64 {
        self.times.sort_unstable();
        self.times[((self.times.len() - 1) as f64 * share) as usize]
    }
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            limit: Limit::new(Config::default()),
            draws: Draws::new(seed),
            workers: 20,
            service_micros: 20_000.0,
            overload: 3.0,
            fast_errors: 0.0,
            now: 0,
            next_arrival: 0,
            busy: BinaryHeap::new(),
            waiting: VecDeque::new(),
            working: 0,
            frozen_until: 0,
        }
    }

    fn capacity_per_second(&self) -> f64 {
        self.workers as f64 * 1e6 / self.service_micros
    }

    /// Between half and one and a half of the mean.
    fn service(&self) -> u64 {
        (self.service_micros * (0.5 + self.draws.unit())) as u64
    }

    fn begin(&mut self, arrival: u64, in_flight: u32) {
        self.working += 1;
        let end = self.now.max(self.frozen_until) + self.service();
        self.busy.push(Reverse((end, arrival, in_flight, false)));
    }

    /// Stands still for so long, while demand goes on.
    fn freeze(&mut self, seconds: u64) {
        self.frozen_until = self.now + seconds * SECOND;
        let later = |Reverse(call): Reverse<(u64, u64, u32, bool)>| {
            Reverse((call.0 + seconds * SECOND, call.1, call.2, call.3))
        };
        self.busy = self.busy.drain().map(later).collect();
        self.run(seconds);
    }

    fn run(&mut self, seconds: u64) -> Seen {
        let end = self.now + seconds * SECOND;
        let mut seen = Seen::default();
        loop {
            let next_end = self.busy.peek().map_or(u64::MAX, |call| call.0.0);
            self.now = next_end.min(self.next_arrival);
            if self.now > end {
                return seen;
            }
            if next_end <= self.next_arrival {
                self.end_one(&mut seen);
            } else {
                self.arrive(&mut seen);
            }
        }
    }

    fn end_one(&mut self, seen: &mut Seen) {
        let Some(Reverse((_, arrival, in_flight, failed))) = self.busy.pop() else {
            return;
        };
        let took = self.now - arrival;
        let sample = if failed {
            Sample::Nothing
        } else {
            Sample::FirstFrame(Duration::from_micros(took))
        };
        self.limit
            .sample(Instant::from_micros(self.now), in_flight, sample);
        if failed {
            return;
        }
        seen.good += 1;
        seen.times.push(took);
        self.working -= 1;
        if let Some((arrival, in_flight)) = self.waiting.pop_front() {
            self.begin(arrival, in_flight);
        }
    }

    fn arrive(&mut self, seen: &mut Seen) {
        let mean = 1e6 / (self.capacity_per_second() * self.overload);
        let gap = -mean * (1.0 - self.draws.unit()).ln();
        self.next_arrival = self.now + (gap as u64).max(1);
        let in_flight = (self.busy.len() + self.waiting.len()) as u32;
        if in_flight >= self.limit.limit() {
            seen.refused += 1;
        } else if self.draws.unit() < self.fast_errors {
            let call = (self.now + 1000, self.now, in_flight + 1, true);
            self.busy.push(Reverse(call));
        } else if self.working < self.workers {
            self.begin(self.now, in_flight + 1);
        } else {
            self.waiting.push_back((self.now, in_flight + 1));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn three_times_too_much_demand_keeps_goodput_and_latency(seed: u64) {
        let mut world = World::new(seed);
        world.run(20);
        let mut seen = world.run(30);
        let goodput = seen.good as f64 / 30.0 / world.capacity_per_second();
        prop_assert!(goodput >= 0.9, "goodput {goodput}");
        let p99 = seen.quantile(0.99);
        prop_assert!(p99 <= 3 * 30_000, "p99 {p99} us, limit {}", world.limit.limit());
    }

    /// The queue still grows while the limit begins to fall, and is long for many steps.
    #[test]
    fn a_limit_that_is_much_too_high_comes_down_under_overload(seed: u64) {
        let mut world = World::new(seed);
        world.limit = Limit::new(Config { initial: 512, most: 4096, ..Config::default() });
        world.overload = 0.5;
        world.run(5);
        world.overload = 3.0;
        world.run(60);
        let limit = world.limit.limit();
        prop_assert!(limit <= 5 * 20, "limit {limit}");
    }

    #[test]
    fn lasting_overload_does_not_drag_the_limit_up(seed: u64) {
        let mut world = World::new(seed);
        world.run(20);
        let mut early = world.run(10);
        world.run(180);
        let mut late = world.run(10);
        let (early, late) = (early.quantile(0.5), late.quantile(0.5));
        prop_assert!(late <= early * 3 / 2, "median {early} us, then {late} us");
    }

    #[test]
    fn an_upstream_that_becomes_slower_is_not_starved(seed: u64) {
        let mut world = World::new(seed);
        world.overload = 2.0;
        world.run(20);
        world.service_micros *= 4.0;
        world.run(30);
        let seen = world.run(20);
        let goodput = seen.good as f64 / 20.0 / world.capacity_per_second();
        prop_assert!(goodput >= 0.85, "goodput {goodput}, limit {}", world.limit.limit());
    }

    #[test]
    fn fast_errors_do_not_poison_what_is_usual(seed: u64) {
        let mut world = World::new(seed);
        world.overload = 0.7;
        world.run(20);
        let usual = world.limit.snapshot().usual_ms.unwrap();
        world.fast_errors = 0.5;
        world.overload = 1.4;
        world.run(20);
        let after = world.limit.snapshot();
        prop_assert!(after.usual_ms.unwrap() > usual * 0.8, "{usual} ms, then {after:?}");
        prop_assert!(after.limit >= 20, "{after:?}");
    }

    /// As much demand as there is capacity: whatever the limit makes of the standstill costs answers.
    #[test]
    fn an_upstream_that_stood_still_is_given_all_of_its_work_again_within_three_seconds(seed: u64) {
        let mut world = World::new(seed);
        world.overload = 1.0;
        world.run(20);
        for _ in 0..3 {
            world.freeze(5);
            world.run(3);
            let seen = world.run(5);
            let goodput = seen.good as f64 / 5.0 / world.capacity_per_second();
            prop_assert!(goodput >= 0.85, "goodput {goodput}, {:?}", world.limit.snapshot());
        }
    }

    #[test]
    fn too_little_demand_leaves_the_limit_alone(seed: u64) {
        let mut world = World::new(seed);
        world.overload = 0.15;
        let before = world.limit.limit();
        world.run(60);
        prop_assert_eq!(world.limit.limit(), before);
    }
}

#[test]
fn refusals_lower_the_limit_once_per_answer_time() {
    let mut limit = Limit::new(Config {
        initial: 100,
        ..Config::default()
    });
    for n in 0..50 {
        limit.sample(Instant::from_micros(n), 90, Sample::Refused);
    }
    assert_eq!(limit.limit(), 90);
    limit.sample(Instant::from_micros(100_001), 90, Sample::Refused);
    assert_eq!(limit.limit(), 81);
    for n in 0..1000 {
        limit.sample(Instant::from_micros(n * SECOND), 90, Sample::Refused);
        limit.sample(Instant::from_micros(n * SECOND), 90, Sample::Nothing);
    }
    assert_eq!(limit.limit(), 4, "never below the least");
    assert_eq!(limit.snapshot().usual_ms, None);
}
