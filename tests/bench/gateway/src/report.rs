//! The table and the file.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::stats::{Ratio, Summary};

/// Which side of the goal is good.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
    /// Told for information.
    None,
}

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    machine: BTreeMap<&'static str, String>,
    versions: BTreeMap<String, String>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    goal: u8,
    what: String,
    asked: String,
    measured: String,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Value::is_null")]
    data: Value,
}

impl Report {
    /// An empty one, about this machine.
    pub fn new(machine: BTreeMap<&'static str, String>) -> Self {
        Self {
            machine,
            ..Self::default()
        }
    }

    /// Which version of a contestant runs.
    pub fn version(&mut self, name: &str, version: impl Into<String>) {
        self.versions.insert(name.to_owned(), version.into());
    }

    /// A number.
    pub fn number(&mut self, goal: u8, what: &str, asked: Goal, value: f64, unit: &str) {
        let measured = format!("{}{unit}", shown(value));
        self.add(
            goal,
            what,
            told(asked, unit),
            measured,
            verdict(asked, value),
            Value::Null,
        );
    }

    /// The median of rounds.
    pub fn summary(&mut self, goal: u8, what: &str, asked: Goal, summary: &Summary, unit: &str) {
        let measured = format!(
            "{}{unit} (spread {:.0} %)",
            shown(summary.median),
            summary.spread * 100.0
        );
        let data = serde_json::to_value(summary).unwrap_or_default();
        let verdict = verdict(asked, summary.median);
        self.add(goal, what, told(asked, unit), measured, verdict, data);
    }

    /// A ratio; not told when its rounds disagree.
    pub fn ratio(&mut self, goal: u8, what: &str, asked: Goal, ratio: Ratio) {
        let spread = format!("spread {:.0} %", ratio.spread * 100.0);
        let data = serde_json::to_value(ratio).unwrap_or_default();
        let (measured, verdict) = if ratio.valid {
            (
                format!("{}x ({spread})", shown(ratio.median)),
                verdict(asked, ratio.median),
            )
        } else {
            (
                format!("INVALID: the rounds disagree ({spread}); run it on a quiet machine"),
                "INVALID",
            )
        };
        self.add(goal, what, told(asked, "x"), measured, verdict, data);
    }

    /// Something that could not be measured, with the reason.
    pub fn skipped(&mut self, goal: u8, what: &str, why: &str) {
        self.add(
            goal,
            what,
            String::new(),
            format!("SKIPPED: {why}"),
            "SKIPPED",
            Value::Null,
        );
    }

    fn add(
        &mut self,
        goal: u8,
        what: &str,
        asked: String,
        measured: String,
        verdict: &'static str,
        data: Value,
    ) {
        let row = Row {
            goal,
            what: what.to_owned(),
            asked,
            measured,
            verdict,
            data,
        };
        // Runs are long: show each row when it is there.
        let _ = writeln!(std::io::stderr(), "{}", row.line());
        self.rows.push(row);
    }

    /// Prints the table as Markdown.
    pub fn print(&self) {
        let mut out = std::io::stdout().lock();
        for (name, version) in &self.versions {
            let _ = writeln!(out, "{name}: {version}");
        }
        let _ = writeln!(
            out,
            "\n| # | what | asked | measured | |\n|---|---|---|---|---|"
        );
        for row in &self.rows {
            let _ = writeln!(out, "{}", row.line());
        }
    }

    /// Writes everything, every round included.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, serde_json::to_string_pretty(self)?)?;
        Ok(())
    }
}

impl Row {
    fn line(&self) -> String {
        let Self {
            goal,
            what,
            asked,
            measured,
            verdict,
            ..
        } = self;
        format!("| {goal} | {what} | {asked} | {measured} | {verdict} |")
    }
}

fn told(asked: Goal, unit: &str) -> String {
    match asked {
        Goal::AtLeast(goal) => format!(">= {goal}{unit}"),
        Goal::AtMost(goal) => format!("<= {goal}{unit}"),
        Goal::None => String::new(),
    }
}

fn verdict(asked: Goal, value: f64) -> &'static str {
    let good = match asked {
        Goal::AtLeast(goal) => value >= goal,
        Goal::AtMost(goal) => value <= goal,
        Goal::None => return "",
    };
    if good { "ok" } else { "SHORT" }
}

/// Three digits that matter.
fn shown(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        small if small >= 1.0 || small == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_or_short() {
        assert_eq!(verdict(Goal::AtMost(1.5), 1.5), "ok");
        assert_eq!(verdict(Goal::AtMost(1.5), 1.51), "SHORT");
        assert_eq!(verdict(Goal::AtLeast(85.0), 84.9), "SHORT");
        assert_eq!(verdict(Goal::AtMost(1.5), f64::NAN), "SHORT");
    }

    #[test]
    fn a_ratio_whose_rounds_disagree_shows_no_number() {
        let mut report = Report::default();
        let ratio = Ratio {
            median: 1.234,
            spread: 2.0,
            valid: false,
        };
        report.ratio(1, "x", Goal::AtMost(2.0), ratio);
        assert!(!report.rows[0].measured.contains("1.23") && report.rows[0].verdict == "INVALID");
    }
}
