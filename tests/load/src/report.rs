//! The report of a run: everything that is told of it, as one value.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::{Ended, Ran};
use crate::faults::FaultRow;
use crate::machine::{ProcessUse, Usage};
use crate::measure::{Cell, Durations, Measure, Sparse};
use crate::objectives::{Judged, Measured, Objective};
use crate::scenario::Prepared;
use crate::services::ServiceUse;
use crate::validity::Verdict;
use crate::workers::WorkerUse;

/// Version of the form.
pub const FORMAT: u32 = 1;

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this form.
    pub format: u32,
    /// Whether the measurement can be trusted.
    pub verdict: Verdict,
    /// Name of the scenario.
    pub scenario: String,
    /// What it shows.
    pub about: String,
    /// What was aimed at.
    pub target: String,
    /// Seed of everything that was drawn.
    pub seed: u64,
    /// SHA-256 of everything that the seed fixes.
    pub schedule: String,
    /// When it began, UTC.
    pub started_at: String,
    /// How long it took.
    pub seconds: f64,
    /// How it ended: `complete`, `stopped` or `target lost`.
    pub ended: String,
    /// How well it went, in a word.
    pub rating: Option<String>,
    /// What had to hold.
    pub objectives: Vec<Judged>,
    /// All requests.
    pub total: Row,
    /// By phase.
    pub phases: Vec<PhaseRow>,
    /// By phase and kind of request.
    pub rows: Vec<Row>,
    /// Second by second.
    pub series: Vec<SecondRow>,
    /// Some failures.
    pub examples: Vec<String>,
    /// The slowest answers, by the names under which the target's traces and logs have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slowest: Vec<SlowRow>,
    /// The generator.
    pub generator: Generator,
    /// Other processes of this machine, when the target is on it.
    pub processes: Vec<ProcessUse>,
    /// Services, as far as their metrics were looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceUse>,
    /// The machine.
    pub machine: BTreeMap<String, String>,
    /// Version of this program.
    pub version: String,
    /// Remarks.
    pub notes: Vec<String>,
    /// Faults that were asked for, and what they did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultRow>,
}

/// An answer that took long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlowRow {
    /// Kind of request.
    pub endpoint: String,
    /// In which second it ended.
    pub at: u64,
    /// From its actual begin to its end, in milliseconds.
    pub ms: f64,
    /// The trace, or the request id, that the answer named.
    pub name: String,
}

/// What the generator did and used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Threads of load.
    pub shards: u64,
    /// Arrivals that were due.
    pub due: u64,
    /// Arrivals that were not sent.
    pub dropped: u64,
    /// Connections that were made.
    pub connections: u64,
    /// How late it was, in milliseconds.
    pub lag_ms: Spread,
    /// What it used.
    pub usage: Usage,
    /// The processes that made the load, where it was not this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<WorkerUse>,
}

/// A phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseRow {
    /// Its name.
    pub name: String,
    /// When it began, in seconds.
    pub from: f64,
    /// When it ended.
    pub to: f64,
    /// Its requests.
    pub row: Row,
}

/// Counts and durations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Phase.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// Kind of request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// Requests that ended.
    pub requests: u64,
    /// As they should.
    pub good: u64,
    /// Refused in good form.
    pub shed: u64,
    /// Errors.
    pub errors: u64,
    /// By class.
    pub classes: BTreeMap<String, u64>,
    /// Good ones a second.
    pub rate: f64,
    /// Bytes of bodies.
    pub bytes: u64,
    /// Events of streams.
    pub events: u64,
    /// Durations in milliseconds, by what was measured.
    pub ms: BTreeMap<String, Spread>,
    /// Durations from the wanted begin, in full: microseconds and counts.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub histogram: Sparse,
}

fn is_empty(sparse: &Sparse) -> bool {
    sparse.0.is_empty()
}

/// A distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// How many.
    pub count: u64,
    /// Least.
    pub min: f64,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Longest.
    pub max: f64,
}

impl Spread {
    /// Of durations, in milliseconds.
    pub fn of(durations: &Durations) -> Self {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let at = |q| ms(durations.quantile(q));
        Self {
            count: durations.count(),
            min: ms(durations.min()),
            mean: ms(durations.mean()),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(durations.max()),
        }
    }
}

/// A second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SecondRow {
    /// Which, from the begin.
    pub at: u64,
    /// Its phase.
    pub phase: u16,
    /// Good requests.
    pub good: u64,
    /// Refused in good form.
    pub shed: u64,
    /// Errors by class.
    pub errors: BTreeMap<String, u64>,
    /// Arrivals that were not sent.
    pub dropped: u64,
    /// Users or requests under way.
    pub active: u64,
    /// Median in milliseconds.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Lateness of the generator in milliseconds, 99th percentile.
    pub lag: f64,
    /// Durations from the wanted begin, in full.
    pub histogram: Sparse,
}

impl Row {
    fn of(phase: &str, endpoint: &str, cell: &Cell, seconds: f64) -> Self {
        let ms = Measure::ALL.iter().filter_map(|measure| {
            let durations = cell.durations(*measure)?;
            (durations.count() > 0).then(|| (measure.name().to_owned(), Spread::of(durations)))
        });
        let classes = cell.errors.each();
        Self {
            phase: phase.to_owned(),
            endpoint: endpoint.to_owned(),
            requests: cell.requests(),
            good: cell.good,
            shed: cell.shed,
            errors: cell.errors.total(),
            classes: classes
                .map(|(class, count)| (class.name().to_owned(), count))
                .collect(),
            rate: cell.good as f64 / seconds.max(1e-6),
            bytes: cell.bytes,
            events: cell.events,
            ms: ms.collect(),
            histogram: Sparse::default(),
        }
    }

    /// Durations of a kind, in milliseconds.
    pub fn spread(&self, measure: Measure) -> Spread {
        self.ms.get(measure.name()).copied().unwrap_or_default()
    }
}

/// What the report needs besides the measurement.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// What was aimed at.
    pub target: String,
    /// When it began.
    pub started_at: String,
    /// Threads of load.
    pub shards: u64,
    /// Workers.
    pub workers: Vec<WorkerUse>,
    /// The verdict.
    pub verdict: Verdict,
    /// Other processes.
    pub processes: Vec<ProcessUse>,
    /// Services.
    pub services: Vec<ServiceUse>,
    /// Remarks.
    pub notes: Vec<String>,
    /// Faults.
    pub faults: Vec<FaultRow>,
}

impl Report {
    /// Puts everything together.
    pub fn new(prepared: &Prepared, ran: &Ran, circumstances: Circumstances) -> Self {
        let series = &ran.series;
        let spans = spans(prepared, ran);
        let seconds = ran.elapsed.as_secs_f64();
        let all = series.sum(None, None);
        let mut total = Row::of("", "", &all, spans.iter().map(|(from, to)| to - from).sum());
        if let Some(durations) = all.durations(Measure::Total) {
            total.histogram = durations.sparse();
        }
        let phases = prepared
            .plan
            .phases
            .iter()
            .enumerate()
            .map(|(number, phase)| {
                let (from, to) = spans[number];
                let cell = series.sum(Some(number as u16), None);
                PhaseRow {
                    name: phase.name.clone(),
                    from,
                    to,
                    row: Row::of(&phase.name, "", &cell, to - from),
                }
            });
        let rows = series.cells().iter().map(|((phase, endpoint), cell)| {
            let (from, to) = spans[usize::from(*phase)];
            let name = &prepared.plan.phases[usize::from(*phase)].name;
            let mut row = Row::of(
                name,
                &prepared.endpoints[usize::from(*endpoint)],
                cell,
                to - from,
            );
            if let Some(durations) = cell.durations(Measure::Total) {
                row.histogram = durations.sparse();
            }
            row
        });
        let judge = |objective: &Objective| judge(objective, prepared, ran, &spans);
        let rating = prepared
            .scenario
            .ratings
            .iter()
            .find(|rating| rating.when.iter().all(|objective| judge(objective).holds));
        Self {
            format: FORMAT,
            scenario: prepared.scenario.name.clone(),
            about: prepared.scenario.about.clone(),
            target: circumstances.target,
            seed: prepared.plan.seed,
            schedule: prepared.digest(),
            started_at: circumstances.started_at,
            seconds,
            ended: match ran.ended {
                Ended::Complete => "complete",
                Ended::Stopped => "stopped",
                Ended::TargetLost => "target lost",
            }
            .into(),
            rating: rating.map(|rating| rating.name.clone()),
            objectives: prepared.objectives().iter().map(judge).collect(),
            total,
            phases: phases.collect(),
            rows: rows.collect(),
            series: series.seconds().map(second).collect(),
            examples: series
                .examples()
                .iter()
                .map(|example| {
                    let endpoint = &prepared.endpoints[usize::from(example.endpoint)];
                    format!("{endpoint}: {}", example.what)
                })
                .collect(),
            slowest: series
                .slowest()
                .iter()
                .map(|(at, slow)| SlowRow {
                    endpoint: prepared.endpoints[usize::from(slow.endpoint)].clone(),
                    at: *at,
                    ms: slow.micros as f64 / 1e3,
                    name: slow.name.clone(),
                })
                .collect(),
            generator: Generator {
                shards: circumstances.shards,
                due: series.due(),
                dropped: series.dropped(None),
                connections: series.connections(),
                lag_ms: Spread::of(series.lag()),
                usage: ran.usage.clone(),
                workers: circumstances.workers,
            },
            verdict: circumstances.verdict,
            processes: circumstances.processes,
            services: circumstances.services,
            machine: crate::machine::description(),
            version: env!("CARGO_PKG_VERSION").into(),
            notes: circumstances.notes,
            faults: circumstances.faults,
        }
    }

    /// Whether every objective holds.
    pub fn is_met(&self) -> bool {
        self.objectives.iter().all(|judged| judged.holds)
    }
}

fn second(second: &crate::measure::Second) -> SecondRow {
    let dense = second.total.dense();
    let at = |q: f64| dense.quantile(q).as_secs_f64() * 1e3;
    SecondRow {
        at: second.at,
        phase: second.phase,
        good: second.good,
        shed: second.shed,
        errors: second
            .errors
            .each()
            .map(|(class, count)| (class.name().to_owned(), count))
            .collect(),
        dropped: second.dropped,
        active: second.active,
        p50: at(0.5),
        p95: at(0.95),
        p99: at(0.99),
        lag: second.lag_p99 as f64 / 1e3,
        histogram: second.total.clone(),
    }
}

/// Begin and end of every phase, in seconds from the begin of the run.
fn spans(prepared: &Prepared, ran: &Ran) -> Vec<(f64, f64)> {
    let mut at = 0.0;
    let whole = ran.elapsed.as_secs_f64();
    let phases = prepared.plan.phases.iter().enumerate();
    phases
        .map(|(number, phase)| {
            let from = at;
            let lasting = match phase.load.duration() {
                Some(duration) => duration.as_secs_f64(),
                None => ran.phase_seconds.get(number).copied().unwrap_or_default(),
            };
            at = (from + lasting).min(whole).max(from);
            (from, at)
        })
        .collect()
}

fn judge(objective: &Objective, prepared: &Prepared, ran: &Ran, spans: &[(f64, f64)]) -> Judged {
    let place = |at: usize| at as u16;
    let phases = &prepared.plan.phases;
    let phase = objective.phase.as_ref();
    let phase = phase
        .and_then(|name| phases.iter().position(|own| own.name == *name))
        .map(place);
    let endpoints = &prepared.endpoints;
    let endpoint = objective.endpoint.as_ref();
    let endpoint = endpoint
        .and_then(|name| endpoints.iter().position(|own| own == name))
        .map(place);
    let seconds = match phase {
        Some(phase) => spans[usize::from(phase)].1 - spans[usize::from(phase)].0,
        None => spans.iter().map(|(from, to)| to - from).sum(),
    };
    objective.judge(Measured {
        cell: &ran.series.sum(phase, endpoint),
        dropped: ran.series.dropped(phase),
        elapsed: Duration::from_secs_f64(seconds),
        cores: crate::machine::cores(),
    })
}
