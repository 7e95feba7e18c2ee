//! Improved, regressed, or no difference.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::bootstrap::{Bootstrap, Interval, Side};
use crate::objectives::milliseconds;
use crate::report::{Report, SecondRow};

/// Quantiles that are compared.
const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")];
/// Seconds at the begin that are left out: connections are made, caches fill.
const WARM_UP: u64 = 2;
/// A difference below this is none that anybody would act upon.
const LEAST: f64 = 0.02;
/// Seconds of a side that are needed.
const LEAST_SECONDS: usize = 10;

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Better, beyond chance.
    Improved,
    /// Worse, beyond chance.
    Regressed,
    /// Nothing that chance could not do.
    NoDifference,
}

/// One statistic, compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Which.
    pub name: String,
    /// What became of it.
    pub change: Change,
    /// Before, for people.
    pub before: String,
    /// After.
    pub after: String,
    /// Change in percent.
    pub percent: f64,
    /// Least change in percent that is plausible.
    pub low: f64,
    /// Largest one.
    pub high: f64,
}

/// Two sides, compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name of the scenario.
    pub scenario: String,
    /// What became of it: regressed, when anything did.
    pub change: Change,
    /// By statistic.
    pub rows: Vec<Compared>,
    /// Runs before and after.
    pub runs: (usize, usize),
}

/// Why two sides cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these runs cannot be compared: {0}")]
pub struct Unlike(String);

/// Compares runs; refuses those that are unlike.
pub fn compare(
    before: &[Report],
    after: &[Report],
    bootstrap: &Bootstrap,
) -> Result<Comparison, Unlike> {
    let unlike = |text: &str| Err(Unlike(text.to_owned()));
    let (Some(first), Some(last)) = (before.first(), after.last()) else {
        return unlike("one side has no runs");
    };
    for report in before.iter().chain(after) {
        if !report.verdict.is_valid() {
            return Err(Unlike(format!("one of them is {}", report.verdict)));
        }
        if let Some(what) = difference(first, report) {
            return Err(Unlike(what));
        }
    }
    let sides = [before, after].map(|runs| Side::new(histograms(runs)));
    if sides.iter().any(|side| side.len() < LEAST_SECONDS) {
        return Err(Unlike(format!(
            "each side needs {LEAST_SECONDS} seconds at least"
        )));
    }
    let quantiles = QUANTILES.map(|(quantile, _)| quantile);
    let intervals = bootstrap.ratios(&sides[0], &sides[1], &quantiles);
    let names = std::iter::once("requests a second").chain(QUANTILES.map(|(_, name)| name));
    let is_open = last.generator.due > 0;
    let rows: Vec<Compared> = names
        .zip(&intervals)
        .enumerate()
        // Under open load the rate is what was asked for, not what was reached.
        .filter(|(at, _)| *at > 0 || !is_open)
        .map(|(at, (name, interval))| compared(name, interval, at == 0))
        .collect();
    let any = |change| rows.iter().any(|row| row.change == change);
    let change = if any(Change::Regressed) {
        Change::Regressed
    } else if any(Change::Improved) {
        Change::Improved
    } else {
        Change::NoDifference
    };
    Ok(Comparison {
        scenario: last.scenario.clone(),
        change,
        rows,
        runs: (before.len(), after.len()),
    })
}

/// Whether a run of this scenario on this machine could be compared with a baseline: asked before the run,
/// which nobody should wait for in vain.
pub fn fits(before: &[Report], scenario: &str) -> Result<(), Unlike> {
    let machine = crate::machine::description();
    for report in before {
        let differs = |what: &str, kept: &str, own: &str| {
            (kept != own).then(|| format!("{what} `{kept}` and {what} `{own}`"))
        };
        let of_machine = |key: &str| {
            let get = |from: &std::collections::BTreeMap<String, String>| {
                from.get(key).cloned().unwrap_or_default()
            };
            differs(key, &get(&report.machine), &get(&machine))
        };
        let what = differs("scenario", &report.scenario, scenario)
            .or_else(|| of_machine("processor"))
            .or_else(|| of_machine("cores"));
        if let Some(what) = what {
            return Err(Unlike(what));
        }
    }
    Ok(())
}

fn difference(a: &Report, b: &Report) -> Option<String> {
    let of =
        |what: &str, a: &str, b: &str| (a != b).then(|| format!("{what} `{a}` and {what} `{b}`"));
    let machine = |report: &Report, key: &str| report.machine.get(key).cloned().unwrap_or_default();
    let phases = |report: &Report| -> Vec<(String, u64)> {
        let each = report.phases.iter();
        each.map(|phase| (phase.name.clone(), (phase.to - phase.from).round() as u64))
            .collect()
    };
    of("scenario", &a.scenario, &b.scenario)
        .or_else(|| {
            of(
                "processor",
                &machine(a, "processor"),
                &machine(b, "processor"),
            )
        })
        .or_else(|| of("cores", &machine(a, "cores"), &machine(b, "cores")))
        .or_else(|| of("end", &a.ended, &b.ended))
        .or_else(|| {
            let alike = phases(a)
                .iter()
                .zip(&phases(b))
                .all(|(a, b)| a.0 == b.0 && a.1.abs_diff(b.1) <= 1 + a.1 / 10);
            (!alike || a.phases.len() != b.phases.len()).then(|| "their phases differ".to_owned())
        })
}

fn histograms(runs: &[Report]) -> impl Iterator<Item = &crate::measure::Sparse> + Clone {
    runs.iter().flat_map(|report| {
        let end = report.seconds.floor() as u64;
        let whole =
            move |second: &&SecondRow| second.at >= WARM_UP && second.at < end.saturating_sub(1);
        report
            .series
            .iter()
            .filter(whole)
            .map(|second| &second.histogram)
    })
}

fn compared(name: &str, interval: &Interval, more_is_better: bool) -> Compared {
    let percent = |ratio: f64| (ratio - 1.0) * 100.0;
    let ratio = interval.after / interval.before;
    let is_sure = interval.low > 1.0 || interval.high < 1.0;
    let change = if !is_sure || (ratio - 1.0).abs() < LEAST {
        Change::NoDifference
    } else if (ratio > 1.0) == more_is_better {
        Change::Improved
    } else {
        Change::Regressed
    };
    let told = |value: f64| {
        if more_is_better {
            format!("{value:.1}")
        } else {
            milliseconds(value / 1e6)
        }
    };
    Compared {
        name: name.to_owned(),
        change,
        before: told(interval.before),
        after: told(interval.after),
        percent: percent(ratio),
        low: percent(interval.low),
        high: percent(interval.high),
    }
}

/// For a comment on a pull request.
pub fn markdown(comparison: &Comparison) -> String {
    let word = |change| match change {
        Change::Improved => "improved",
        Change::Regressed => "**regressed**",
        Change::NoDifference => "no difference",
    };
    let mut text = format!(
        "### Load scenario `{}`: {}\n\n| | before | after | change | plausible | verdict |\n|---|---|---|---|---|---|\n",
        comparison.scenario,
        word(comparison.change)
    );
    for row in &comparison.rows {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:+.1} % | {:+.1} … {:+.1} % | {} |",
            row.name,
            row.before,
            row.after,
            row.percent,
            row.low,
            row.high,
            word(row.change)
        );
    }
    let _ = writeln!(
        text,
        "\n{} runs before, {} after; block bootstrap over seconds, 5 % false alarms at most.",
        comparison.runs.0, comparison.runs.1
    );
    text
}
