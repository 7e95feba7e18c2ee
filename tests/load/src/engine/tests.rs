use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::task::LocalSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::arrivals::{Profile, Segment};
use crate::measure::{Cell, Durations, Measure, Outcome, Recorder, Sample, Series};

/// A target in the imagination: takes `service` each, and stands still for a while.
#[derive(Clone, Copy)]
struct Imagined {
    service: Duration,
    frozen: Option<(Duration, Duration)>,
    begin: Instant,
}

impl Work for Imagined {
    type Lane = ();

    fn lane(&self) {}

    fn run<'a>(
        &'a self,
        turn: Turn,
        (): &'a mut (),
        recorder: &'a Recorder,
    ) -> LocalBoxFuture<'a, ()> {
        async move {
            let began = Instant::now();
            if let Some((from, to)) = self.frozen {
                let at = began - self.begin;
                if (from..to).contains(&at) {
                    tokio::time::sleep_until(self.begin + to).await;
                }
            }
            tokio::time::sleep(self.service).await;
            recorder.record(&Sample {
                phase: turn.phase,
                endpoint: 0,
                intended: turn.intended,
                began: began.into_std(),
                connect: None,
                first_byte: None,
                ended: Instant::now().into_std(),
                outcome: Outcome::Good,
                bytes: 1,
                events: Vec::new(),
            });
        }
        .boxed_local()
    }
}

fn constant(rate: f64, seconds: f64) -> Load {
    let segment = Segment {
        lasting: seconds,
        from: rate,
        to: rate,
    };
    Load::Open {
        profile: Profile::new(vec![segment]),
        burstiness: 0.0,
    }
}

fn plan(loads: Vec<Load>, in_flight: usize) -> Plan {
    let phases = loads
        .into_iter()
        .map(|load| Phase {
            name: "phase".into(),
            load,
        })
        .collect();
    Plan {
        phases,
        seed: 1,
        in_flight,
        drain: Duration::from_secs(30),
    }
}

/// Drives a plan on paused time, in one shard or in several.
async fn driven(plan: Plan, shards: u64, service: Duration, frozen: Option<(u64, u64)>) -> Series {
    let frozen = frozen.map(|(from, to)| (Duration::from_secs(from), Duration::from_secs(to)));
    let begin = Instant::now();
    let local = LocalSet::new();
    let recorders: Vec<Recorder> = (0..shards).map(|_| Recorder::default()).collect();
    let plan = Rc::new(plan);
    local
        .run_until(async {
            let shards = recorders.iter().enumerate().map(|(index, recorder)| {
                let duty = Duty {
                    plan: Rc::clone(&plan),
                    share: Share {
                        index: index as u64,
                        of: shards,
                    },
                    work: Rc::new(Imagined {
                        service,
                        frozen,
                        begin,
                    }),
                    recorder: recorder.clone(),
                    pacer: Pacer::Timer,
                    begin,
                    stop: CancellationToken::new(),
                };
                drive(duty, |_| {})
            });
            futures_util::future::join_all(shards).await;
        })
        .await;
    let mut series = Series::default();
    for recorder in recorders {
        series.absorb(0, &recorder.take());
    }
    series
}

fn total(cell: &Cell) -> &Durations {
    cell.durations(Measure::Total).unwrap()
}

const MILLISECOND: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn open_load_has_exactly_its_histogram() {
    let series = driven(
        plan(vec![constant(100.0, 10.0)], 1000),
        1,
        20 * MILLISECOND,
        None,
    )
    .await;
    let all = series.sum(None, None);
    assert_eq!(all.good, 1000);
    // Every deadline is a whole millisecond, and so is every answer; buckets go by their upper end.
    assert_eq!(total(&all).sparse().0, [(20_015, 1000)]);
    assert_eq!(series.dropped(None), 0);
    assert_eq!(series.due(), 1000);
}

#[tokio::test(start_paused = true)]
async fn a_freeze_shows_in_full_from_the_intended_begin() {
    // 200 a second for 60 s, frozen from 20 s to 30 s: 2000 of 12,000 wait, evenly from 10 s to nothing.
    let series = driven(
        plan(vec![constant(200.0, 60.0)], 5000),
        1,
        MILLISECOND,
        Some((20, 30)),
    )
    .await;
    let all = series.sum(None, None);
    assert_eq!(all.good, 12_000);
    let at = |q: f64| total(&all).quantile(q).as_secs_f64();
    // Above the share 5/6 that is not touched: 10 s * (1 - (1-q) * 6) and the millisecond of service.
    for q in [0.9, 0.95, 0.99, 0.999] {
        let wanted = 10.0 * (1.0 - (1.0 - q) * 6.0) + 0.001;
        assert!(
            (at(q) / wanted - 1.0).abs() < 0.01,
            "p{}: {} for {wanted}",
            q * 100.0,
            at(q)
        );
    }
    assert!((at(0.5) - 0.001).abs() < 0.000_01);
}

#[tokio::test(start_paused = true)]
async fn a_closed_loop_does_not_see_most_of_a_freeze() {
    // The reason for open load: the same target, one user without a pause.
    let load = Load::Closed {
        users: 1,
        spawn_rate: None,
        think: Think::Constant {
            time: 4 * MILLISECOND,
        },
        duration: Duration::from_mins(1),
    };
    let series = driven(plan(vec![load], 10), 1, MILLISECOND, Some((20, 30))).await;
    let all = series.sum(None, None);
    assert!(all.good > 9_900);
    assert_eq!(total(&all).quantile(0.99), MILLISECOND);
    assert!(total(&all).max() > Duration::from_secs(9));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_counted_as_dropped() {
    // 100 a second at 1 s each need 100 places; there are 40.
    let series = driven(
        plan(vec![constant(100.0, 10.0)], 40),
        1,
        Duration::from_secs(1),
        None,
    )
    .await;
    let all = series.sum(None, None);
    assert_eq!(all.good + series.dropped(None), 1000);
    assert_eq!(all.good, 400);
    assert_eq!(series.due(), 1000);
}

#[tokio::test(start_paused = true)]
async fn shards_share_the_work_without_loss() {
    for shards in [1, 2, 3] {
        let loads = vec![
            constant(90.0, 10.0),
            Load::Count {
                requests: 50,
                users: 7,
            },
            Load::Closed {
                users: 10,
                spawn_rate: Some(10.0),
                think: Think::None,
                duration: Duration::from_secs(2),
            },
        ];
        let series = driven(plan(loads, 1000), shards, 100 * MILLISECOND, None).await;
        assert_eq!(series.sum(Some(0), None).good, 900, "{shards} shards");
        assert_eq!(series.sum(Some(1), None).good, 50, "{shards} shards");
        // User u begins u/10 s after the phase and does ten a second to its end.
        let closed: u64 = (0..10).map(|user| 20 - user).sum();
        assert_eq!(series.sum(Some(2), None).good, closed, "{shards} shards");
    }
}

#[tokio::test(start_paused = true)]
async fn users_spawn_one_after_the_other_and_pause() {
    let load = Load::Closed {
        users: 4,
        spawn_rate: Some(1.0),
        think: Think::Constant {
            time: Duration::from_millis(900),
        },
        duration: Duration::from_secs(10),
    };
    let series = driven(plan(vec![load], 10), 1, 100 * MILLISECOND, None).await;
    assert_eq!(series.sum(None, None).good, 10 + 9 + 8 + 7);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_everything_soon_and_keeps_what_was_measured() {
    let begin = Instant::now();
    let local = LocalSet::new();
    let recorder = Recorder::default();
    let stop = CancellationToken::new();
    local
        .run_until(async {
            let duty = Duty {
                plan: Rc::new(plan(vec![constant(100.0, 3600.0)], 100)),
                share: Share { index: 0, of: 1 },
                work: Rc::new(Imagined {
                    service: MILLISECOND,
                    frozen: None,
                    begin,
                }),
                recorder: recorder.clone(),
                pacer: Pacer::Timer,
                begin,
                stop: stop.clone(),
            };
            let driven = drive(duty, |_| {});
            let stopped = async {
                tokio::time::sleep(Duration::from_secs(5)).await;
                stop.cancel();
            };
            futures_util::future::join(driven, stopped).await;
        })
        .await;
    assert!(begin.elapsed() < Duration::from_secs(6));
    let mut series = Series::default();
    series.absorb(0, &recorder.take());
    assert!((499..=501).contains(&series.sum(None, None).good));
}
