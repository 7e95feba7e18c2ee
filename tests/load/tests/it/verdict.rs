//! A generator that is slowed on purpose must not be believed.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio_util::sync::CancellationToken;
use touchstone_load::arrivals::{Profile, Segment};
use touchstone_load::engine::{Ended, Load, Phase, Plan, Ran, Turn, Work, run};
use touchstone_load::measure::{ErrorClass, Outcome, Recorder, Sample};
use touchstone_load::validity::{Rules, judge};

/// Work that holds its thread for a while instead of waiting.
#[derive(Clone, Copy)]
struct Greedy {
    holds: Duration,
    outcome: Outcome,
}

impl Work for Greedy {
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
            std::thread::sleep(self.holds);
            recorder.record(&Sample {
                phase: turn.phase,
                endpoint: 0,
                intended: turn.intended,
                began,
                connect: None,
                first_byte: None,
                ended: Instant::now(),
                outcome: self.outcome,
                bytes: 0,
                events: Vec::new(),
            });
        }
        .boxed_local()
    }
}

async fn ran(rate: f64, seconds: f64, work: Greedy) -> Ran {
    let segment = Segment {
        lasting: seconds,
        from: rate,
        to: rate,
    };
    let load = Load::Open {
        profile: Profile::new(vec![segment]),
        burstiness: 0.0,
    };
    let plan = Plan {
        phases: vec![Phase {
            name: "all".into(),
            load,
        }],
        seed: 1,
        in_flight: 1000,
        drain: Duration::from_secs(30),
    };
    run(plan, 1, move |_| work, CancellationToken::new(), |_| {})
        .await
        .unwrap()
}

#[tokio::test]
async fn a_generator_that_cannot_keep_its_schedule_is_invalid() {
    let work = Greedy {
        holds: Duration::from_millis(20),
        outcome: Outcome::Good,
    };
    // 20 ms of the one thread for each of 100 a second: twice as much as there is.
    let ran = Box::pin(ran(100.0, 1.0, work)).await;
    assert_eq!(
        ran.series.sum(None, None).good + ran.series.dropped(None),
        100
    );
    let verdict = judge(&ran.series, &ran.usage, &Rules::default());
    assert!(!verdict.is_valid(), "{verdict}");
    assert!(verdict.to_string().contains("ms late"), "{verdict}");
}

#[tokio::test]
async fn a_target_that_accepts_nothing_any_more_ends_the_run() {
    let work = Greedy {
        holds: Duration::ZERO,
        outcome: Outcome::Failed(ErrorClass::Connect),
    };
    let ran = Box::pin(ran(20.0, 600.0, work)).await;
    assert_eq!(ran.ended, Ended::TargetLost);
    let errors = ran.series.sum(None, None).errors;
    assert!(
        errors.of(ErrorClass::Connect) >= 150,
        "what was measured is kept"
    );
}
