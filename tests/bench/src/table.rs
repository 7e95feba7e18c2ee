use std::io::Write;

/// What was asked and what was measured.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    asked: String,
    measured: String,
    verdict: &'static str,
}

/// Which side of the goal is good.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
    /// No goal: told for information.
    None,
}

impl Table {
    /// Adds a measurement with `digits` after the point.
    pub fn measured(&mut self, what: &str, goal: Goal, value: f64, unit: &str, digits: usize) {
        let (asked, verdict) = match goal {
            Goal::AtLeast(goal) => (format!(">= {goal}{unit}"), verdict(value >= goal)),
            Goal::AtMost(goal) => (format!("<= {goal}{unit}"), verdict(value <= goal)),
            Goal::None => (String::new(), ""),
        };
        let measured = format!("{value:.digits$}{unit}");
        let row = Row {
            what: what.to_owned(),
            asked,
            measured,
            verdict,
        };
        // Runs are long: show each row when it is there.
        let _ = writeln!(std::io::stderr(), "{}", row.line());
        self.rows.push(row);
    }

    /// Adds something that has no number.
    pub fn told(&mut self, what: &str, text: &str) {
        self.row(what, text.to_owned());
    }

    /// Adds a row that could not be measured, with the reason.
    pub fn skipped(&mut self, what: &str, why: &str) {
        self.row(what, format!("SKIPPED: {why}"));
    }

    fn row(&mut self, what: &str, measured: String) {
        let row = Row {
            what: what.to_owned(),
            asked: String::new(),
            measured,
            verdict: "",
        };
        let _ = writeln!(std::io::stderr(), "{}", row.line());
        self.rows.push(row);
    }

    /// Prints the table as Markdown.
    pub fn print(&self) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "\n| what | asked | measured | |\n|---|---|---|---|");
        for row in &self.rows {
            let _ = writeln!(out, "{}", row.line());
        }
    }
}

impl Row {
    fn line(&self) -> String {
        format!(
            "| {} | {} | {} | {} |",
            self.what, self.asked, self.measured, self.verdict
        )
    }
}

const fn verdict(good: bool) -> &'static str {
    if good { "ok" } else { "SHORT" }
}
