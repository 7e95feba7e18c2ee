//! Grades a load tester: each probe is asked by it, and what it tells is compared with what is known.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Stdio;

use serde::Serialize;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::expect::{Expected, Pace, Quantity};
use super::script::{Probe, RIGHT};
use super::server::Server;
use super::told::Told;
use crate::runner::{self, Options};
use crate::scenario::{Overrides, Prepared, Scenario};
use crate::steps::Registry;

/// What is graded.
#[derive(Clone, Debug)]
pub enum Tool {
    /// This engine.
    Own,
    /// A command of the shell. `{url}`, `{rate}` (a second), `{seconds}`, `{requests}` and `{report}` (a
    /// file for its report; else what it prints is read) are replaced.
    Command(String),
}

/// One number of one probe.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Which probe.
    pub probe: &'static str,
    /// Which number.
    pub quantity: String,
    /// What it is.
    pub expected: f64,
    /// What was told.
    pub told: Option<f64>,
    /// Whether that is right.
    pub right: bool,
}

/// A tool, graded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Graded {
    /// Share of the numbers that are right, 0 to 100.
    pub score: f64,
    /// Each number.
    pub lines: Vec<Line>,
    /// Requests that each probe saw, whatever was told.
    pub seen: BTreeMap<&'static str, u64>,
    /// What went wrong with the tool itself.
    pub mistakes: Vec<String>,
}

/// Grades a tool. `pace` changes how they are asked; `note` is told which one it is.
pub async fn conformance(
    tool: &Tool,
    probes: &[Probe],
    pace: Pace,
    mut note: impl FnMut(&str),
) -> std::io::Result<Graded> {
    let mut graded = Graded {
        score: 0.0,
        lines: Vec::new(),
        seen: BTreeMap::new(),
        mistakes: Vec::new(),
    };
    for &probe in probes {
        note(probe.name());
        let asked = probe.asked(pace);
        let server = Server::new(asked.lasting);
        let listener = Server::bind(0).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let over = CancellationToken::new();
        let told = async {
            let told = match tool {
                Tool::Own => own(probe, &url, pace).await,
                Tool::Command(command) => external(command, probe, &url, pace).await,
            };
            over.cancel();
            told
        };
        let (told, ()) = tokio::join!(told, server.clone().serve(listener, over.clone()));
        let told = told.unwrap_or_else(|mistake| {
            graded.mistakes.push(format!("{}: {mistake}", probe.name()));
            Told::default()
        });
        graded.seen.insert(probe.name(), server.requests(probe));
        for expected in probe.expected(asked) {
            graded.lines.push(line(probe, &expected, &told));
        }
    }
    let right = graded.lines.iter().filter(|line| line.right).count();
    graded.score = right as f64 / graded.lines.len().max(1) as f64 * 100.0;
    Ok(graded)
}

fn line(probe: Probe, expected: &Expected, told: &Told) -> Line {
    let quantity = match expected.quantity {
        Quantity::Requests => "requests".to_owned(),
        Quantity::ErrorShare => "error share".to_owned(),
        Quantity::Quantile(q) => format!("p{} in ms", q * 100.0),
    };
    Line {
        probe: probe.name(),
        quantity,
        expected: expected.value,
        told: told.value(expected.quantity),
        right: told.is_right(expected),
    }
}

/// The probe as a scenario of this engine.
async fn own(probe: Probe, url: &str, pace: Pace) -> Result<Told, String> {
    let asked = probe.asked(pace);
    let (path, status) = match probe {
        // This engine follows no redirects: a scenario says what is right.
        Probe::Redirect => ("/redirect".to_owned(), "[302]"),
        probe => (format!("/{}", probe.name()), "[200]"),
    };
    let check = match probe {
        Probe::Redirect => String::new(),
        Probe::Stream => "events = 5".to_owned(),
        _ => format!("contains = \"{RIGHT}\""),
    };
    let text = format!(
        "name = \"probe\"\nabout = \"{0}\"\nin_flight = 20000\n\
         [[phases]]\nname = \"all\"\n\
         load = {{ kind = \"constant\", rate = {1}, duration = \"{2}ms\" }}\n\
         [[classes]]\nname = \"tool\"\nsteps = [{{ step = \"probe\" }}]\n\
         [requests.probe]\npath = \"{path}\"\nstream = {3}\n\
         [requests.probe.expect]\nstatus = {status}\n{check}\n",
        probe.name(),
        asked.rate,
        asked.lasting.as_millis(),
        probe == Probe::Stream,
    );
    let scenario = Scenario::parse("probe", &text).map_err(|error| error.to_string())?;
    let prepared = Prepared::new(
        scenario,
        &Overrides::default(),
        Registry::default(),
        Path::new("."),
    );
    let prepared = prepared.map_err(|error| error.to_string())?;
    let options = Options::plain(url);
    let ran = runner::run(prepared, &options, CancellationToken::new(), |_| {}, |_| {}).await;
    let report = ran.map_err(|error| error.to_string())?;
    Ok(Told::of(&report))
}

/// A tool of somebody else.
async fn external(command: &str, probe: Probe, url: &str, pace: Pace) -> Result<Told, String> {
    let asked = probe.asked(pace);
    let seconds = asked.lasting.as_secs_f64();
    let file = std::env::temp_dir().join(format!(
        "touchstone-probe-{}-{}",
        std::process::id(),
        probe.name()
    ));
    // What an earlier process of this number left is no report of this tool.
    let _ = std::fs::remove_file(&file);
    let command = command
        .replace("{url}", &format!("{url}/{}", probe.name()))
        .replace("{rate}", &asked.rate.to_string())
        .replace("{seconds}", &seconds.to_string())
        .replace("{requests}", &(asked.rate * seconds).round().to_string())
        .replace("{report}", &file.display().to_string());
    let ran = Command::new("sh")
        .args(["-c", &command])
        .stdin(Stdio::null())
        .output()
        .await;
    let output = ran.map_err(|error| format!("cannot start `{command}`: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    let _ = std::fs::remove_file(&file);
    let text = if written.is_empty() { printed } else { written };
    // Tools end with a failure when requests failed: what they tell is what counts.
    Told::read(&text).ok_or_else(|| {
        let error = String::from_utf8_lossy(&output.stderr);
        let last = error.lines().last().unwrap_or("nothing");
        format!("its report is not understood (it said: {last})")
    })
}

impl std::fmt::Display for Graded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = format!(
            "{:<10} {:<12} {:>12} {:>12}\n",
            "probe", "number", "expected", "told"
        );
        for line in &self.lines {
            let told = line
                .told
                .map_or_else(|| "–".to_owned(), |told| format!("{told:.3}"));
            let sign = if line.right { "" } else { "  WRONG" };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{:<10} {:<12} {:>12.3} {told:>12}{sign}",
                line.probe, line.quantity, line.expected
            );
        }
        for mistake in &self.mistakes {
            let _ = writeln!(text, "{mistake}");
        }
        let _ = write!(text, "score: {:.0} of 100", self.score);
        f.write_str(&text)
    }
}
