//! What becomes of a run that is over: on any machine the same, because its report is written here.

use std::time::{Duration, Instant};

use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::engine::{Ended, Ran};
use crate::machine::Usage;
use crate::measure::{Outcome, Recorder, Sample, Series};
use crate::report::Circumstances;
use crate::validity::Verdict;

const SECONDS: u64 = 30;

/// A run that is over.
#[derive(Clone, Copy)]
struct Over<'a> {
    scenario: &'a str,
    /// How long everything took, in multiples of some 100 ms.
    factor: f64,
    reasons: &'a [&'a str],
    ended: Ended,
    /// What the 95th percentile may be, in milliseconds.
    asked: u64,
}

const RUN: Over<'_> = Over {
    scenario: "own",
    factor: 1.0,
    reasons: &[],
    ended: Ended::Complete,
    asked: 10_000,
};

impl Over<'_> {
    fn report(self) -> Report {
        let text = format!(
            r#"
            name = "{}"
            about = "Of the tests."
            objectives = ["p95 < {}ms"]
            [[phases]]
            name = "all"
            load = {{ kind = "users", users = 4, duration = "{SECONDS}s" }}
            [[classes]]
            name = "asker"
            steps = [{{ step = "front" }}]
            [requests.front]
            path = "/"
            "#,
            self.scenario, self.asked
        );
        let scenario = Scenario::parse("own", &text).unwrap();
        let (overrides, folder) = (Overrides::default(), Path::new("."));
        let prepared = Prepared::new(scenario, &overrides, Registry::default(), folder).unwrap();
        let (mut series, recorder) = (Series::default(), Recorder::default());
        for second in 0..SECONDS {
            let now = Instant::now();
            for number in 0..40 {
                let took = Duration::from_millis(95 + number % 10).mul_f64(self.factor);
                recorder.record(&Sample {
                    phase: 0,
                    endpoint: 0,
                    intended: now,
                    began: now,
                    connect: None,
                    first_byte: None,
                    ended: now + took,
                    outcome: Outcome::Good,
                    bytes: 100,
                    events: Vec::new(),
                });
            }
            series.absorb(second, &recorder.take());
        }
        let ran = Ran {
            series,
            ended: self.ended,
            elapsed: Duration::from_secs(SECONDS),
            phase_seconds: vec![SECONDS as f64],
            usage: Usage::default(),
        };
        let reasons = self.reasons.iter().map(|reason| (*reason).to_owned());
        let circumstances = Circumstances {
            target: "http://t".into(),
            started_at: "2026-01-01T00:00:00+00:00".into(),
            shards: 1,
            workers: Vec::new(),
            verdict: Verdict {
                reasons: reasons.collect(),
            },
            processes: Vec::new(),
            services: Vec::new(),
            notes: Vec::new(),
            faults: Vec::new(),
        };
        Report::new(&prepared, &ran, circumstances)
    }
}

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    run: RunArgs,
}

/// A folder in which commands run.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Concludes a run as `run` does; the exit code.
    fn conclude(&self, over: Over<'_>, more: &[&str]) -> u8 {
        let (state, reports) = (self.path("state"), self.path("reports"));
        let folders = ["run", "--state", &state, "--reports", &reports];
        let args = Command::parse_from([&folders[..], more].concat()).run;
        let baselines = args.state.join("baselines");
        let before = args
            .compare
            .as_ref()
            .map(|name| baseline::load(&baselines, name).unwrap());
        let surroundings = Surroundings::default();
        match conclude(&over.report(), &args, before.as_deref(), &surroundings) {
            Ok(code) => code,
            Err(stopped) => stopped.code,
        }
    }

    /// How many runs are in a baseline.
    fn kept(&self, name: &str) -> usize {
        let folder = self.0.path().join("state/baselines");
        baseline::load(&folder, name).map_or(0, |runs| runs.len())
    }
}

const SLOWER: Over<'_> = Over { factor: 1.5, ..RUN };

#[test]
fn runs_are_kept_as_baselines_and_compared_with_them() {
    let place = Place::new();
    assert_eq!(place.conclude(RUN, &["--save-baseline", "main"]), DONE);
    assert_eq!(place.kept("main"), 1);
    // The objectives hold, and it is a regression; it is kept all the same, under its own name.
    let more = ["--compare", "main", "--save-baseline", "slower"];
    assert_eq!(place.conclude(SLOWER, &more), MISSED);
    assert_eq!((place.kept("main"), place.kept("slower")), (1, 1));
    let more = ["--compare", "slower", "--save-baseline", "main"];
    assert_eq!(place.conclude(RUN, &more), DONE);
    assert_eq!(place.kept("main"), 2, "runs are added");
    assert_eq!(place.conclude(RUN, &["--compare", "main"]), DONE);
    assert_eq!(place.conclude(SLOWER, &["--compare", "slower"]), DONE);
    assert_eq!((place.kept("main"), place.kept("slower")), (2, 1));
}

#[test]
fn a_run_that_cannot_be_trusted_is_reported_and_neither_kept_nor_compared() {
    let place = Place::new();
    place.conclude(RUN, &["--save-baseline", "main"]);
    let late = Over {
        reasons: &["the generator was late"],
        ..SLOWER
    };
    std::fs::remove_dir_all(place.path("reports")).unwrap();
    let more = ["--compare", "main", "--save-baseline", "main"];
    assert_eq!(place.conclude(late, &more), INVALID);
    assert_eq!(place.kept("main"), 1);
    assert!(std::fs::exists(place.path("reports/own-20260101000000.json")).unwrap());
    let lost = Over {
        ended: Ended::TargetLost,
        ..late
    };
    assert_eq!(place.conclude(lost, &more), TARGET_LOST);
    assert_eq!(place.kept("main"), 1);
}

#[test]
fn an_objective_that_is_missed_is_not_made_good_by_being_faster() {
    let place = Place::new();
    place.conclude(SLOWER, &["--save-baseline", "main"]);
    let missed = Over { asked: 50, ..RUN };
    assert_eq!(place.conclude(missed, &["--compare", "main"]), MISSED);
    assert_eq!(place.conclude(RUN, &["--compare", "main"]), DONE);
}

#[test]
fn what_cannot_be_compared_or_written_has_codes_of_its_own() {
    let place = Place::new();
    place.conclude(RUN, &["--save-baseline", "main"]);
    let other = Over {
        scenario: "other",
        ..RUN
    };
    assert_eq!(place.conclude(other, &["--compare", "main"]), USAGE);
    std::fs::remove_dir_all(place.path("reports")).unwrap();
    std::fs::write(place.path("reports"), "no folder").unwrap();
    assert_eq!(place.conclude(RUN, &[]), NOT_WRITTEN);
    std::fs::remove_file(place.path("reports")).unwrap();
    std::fs::remove_dir_all(place.path("state")).unwrap();
    std::fs::write(place.path("state"), "no folder").unwrap();
    assert_eq!(
        place.conclude(RUN, &["--save-baseline", "main"]),
        NOT_WRITTEN
    );
}
