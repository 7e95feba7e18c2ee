//! The command `touchstone load`.

mod args;
mod llm;
mod run;

pub use args::{
    ConformanceArgs, LlmSimArgs, LoadArgs, LoadCommand, ReportArgs, RunArgs, WorkerArgs,
};

pub use llm::llm_sim;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;

use crate::probe::{self, Pace, Probe, Tool};
use crate::report::Report;
use crate::scenario::list;
use crate::services::Endpoint;
use crate::sink;
use crate::steps::Registry;
use crate::workers;

/// Exit code: everything holds.
pub const DONE: u8 = 0;
/// Exit code: an objective is missed, or a comparison shows a regression.
pub const MISSED: u8 = 1;
/// Exit code: a mistake on the command line or in a scenario.
pub const USAGE: u8 = 2;
/// Exit code: the measurement cannot be trusted.
pub const INVALID: u8 = 3;
/// Exit code: the target is not there, or went away.
pub const TARGET_LOST: u8 = 4;
/// Exit code: the run is over, but its report could not be written.
pub const NOT_WRITTEN: u8 = 5;

/// What surrounds the command.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Prints JSON, for programs.
    pub json: bool,
    /// File with the key of whoever runs the stack of this machine; used for targets on it only.
    pub local_operator_key: Option<PathBuf>,
    /// Port of the gateway of this machine's stack.
    pub local_port: Option<u16>,
    /// Where its services tell their metrics; used when that gateway is the target, as far as they are there.
    pub local_metrics: Vec<Endpoint>,
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) struct Stopped {
    code: u8,
    error: anyhow::Error,
}

impl Stopped {
    fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: USAGE,
            error: error.into(),
        }
    }
}

/// Runs the command and returns its exit code.
pub async fn load(args: &LoadArgs, surroundings: &Surroundings) -> u8 {
    let done = match &args.command {
        LoadCommand::Run { scenario, run } => Box::pin(run::run(scenario, run, surroundings)).await,
        LoadCommand::Smoke(run) => Box::pin(run::run("smoke", run, surroundings)).await,
        LoadCommand::List => {
            listed(surroundings);
            Ok(DONE)
        }
        LoadCommand::Steps => {
            for name in Registry::of_the_stack().names() {
                out(name);
            }
            Ok(DONE)
        }
        LoadCommand::Worker(args) => worker(args, surroundings).await,
        LoadCommand::Report(report) => reported(report, surroundings),
    };
    match done {
        Ok(code) => code,
        Err(stopped) => {
            note(&format!("error: {:#}", stopped.error));
            stopped.code
        }
    }
}

/// Grades a load tester and returns the exit code: 1 when its score is below what was asked for.
pub async fn conformance(args: &ConformanceArgs, surroundings: &Surroundings) -> u8 {
    let mut probes = Vec::new();
    for name in &args.probe {
        match Probe::find(name) {
            Some(probe) => probes.push(probe),
            None => {
                let known = Probe::ALL.map(Probe::name).join(", ");
                note(&format!(
                    "error: there is no probe `{name}`; there are {known}"
                ));
                return USAGE;
            }
        }
    }
    if probes.is_empty() {
        probes = Probe::ALL.to_vec();
    }
    if !(args.scale > 0.0 && args.scale <= 100.0) {
        note("error: --scale must be above 0 and at most 100");
        return USAGE;
    }
    let tool = args.tool.clone().map_or(Tool::Own, Tool::Command);
    if args
        .rate
        .is_some_and(|rate| !(rate > 0.0 && rate <= 100_000.0))
    {
        note("error: --rate must be above 0 and at most 100000");
        return USAGE;
    }
    let pace = Pace {
        scale: args.scale,
        rate: args.rate,
    };
    let graded = probe::conformance(&tool, &probes, pace, |name| {
        note(&format!("probe {name}"));
    });
    match Box::pin(graded).await {
        Err(error) => {
            note(&format!("error: the probe cannot be served: {error}"));
            USAGE
        }
        Ok(graded) => {
            if surroundings.json {
                out(&serde_json::to_string(&graded).unwrap_or_default());
            } else {
                out(&graded.to_string());
            }
            if graded.score < args.at_least {
                MISSED
            } else {
                DONE
            }
        }
    }
}

/// Makes load for coordinators.
async fn worker(args: &WorkerArgs, surroundings: &Surroundings) -> Result<u8, Stopped> {
    if args.key.worker_key.is_empty() && !args.listen.ip().is_loopback() {
        return Err(Stopped::usage(anyhow::anyhow!(
            "a worker on {} can be asked by others: give it a --worker-key",
            args.listen
        )));
    }
    let listening = tokio::net::TcpListener::bind(args.listen).await;
    let listener = listening
        .with_context(|| format!("cannot listen on {}", args.listen))
        .map_err(Stopped::usage)?;
    let address = listener.local_addr().map_err(Stopped::usage)?;
    if surroundings.json {
        out(&serde_json::json!({"worker": address.to_string()}).to_string());
    } else {
        out(&format!("a worker waits at {address}"));
    }
    let key = &args.key.worker_key;
    let served = workers::serve(listener, key, args.once, |text| note(&text));
    tokio::select! {
        served = served => served.map_err(Stopped::usage)?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(DONE)
}

fn listed(surroundings: &Surroundings) {
    for scenario in list() {
        if surroundings.json {
            let waiting = scenario.waiting_for;
            let value = serde_json::json!({"name": scenario.name, "about": scenario.about, "waiting_for": waiting});
            out(&value.to_string());
        } else if let Some(what) = scenario.waiting_for {
            out(&format!("{:<18} waiting for {what}", scenario.name));
        } else {
            out(&format!("{:<18} {}", scenario.name, scenario.about));
        }
    }
}

fn reported(args: &ReportArgs, surroundings: &Surroundings) -> Result<u8, Stopped> {
    let reports: Vec<Report> = args
        .files
        .iter()
        .map(|file| {
            sink::read(file).map_err(|error| {
                Stopped::usage(anyhow::anyhow!(
                    "cannot read the report `{}`: {error}",
                    file.display()
                ))
            })
        })
        .collect::<Result<_, _>>()?;
    if let Some(folder) = &args.render {
        for report in &reports {
            let written = sink::write(report, folder).map_err(|error| Stopped {
                code: NOT_WRITTEN,
                error: error.into(),
            })?;
            for path in written {
                note(&format!("wrote {}", path.display()));
            }
        }
    }
    match reports.as_slice() {
        [before, after] => run::compared(std::slice::from_ref(before), after, surroundings),
        each => {
            for report in each {
                out(&sink::summary(report));
            }
            Ok(DONE)
        }
    }
}

/// A line of the result. A reader that has gone is no error of ours.
fn out(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A remark.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
