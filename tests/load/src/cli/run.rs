use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::args::RunArgs;
use super::{
    DONE, INVALID, MISSED, NOT_WRITTEN, Stopped, Surroundings, TARGET_LOST, USAGE, note, out,
};
use crate::baseline::{self, Bootstrap, Change};
use crate::engine::Progress;
use crate::report::Report;
use crate::runner::{self, Options};
use crate::scenario::{Overrides, Prepared, Scenario, builtin};
use crate::services::Endpoint;
use crate::sink::{self, Live};
use crate::steps::Registry;
use crate::users;
use crate::validity::Rules;

pub(super) async fn run(
    scenario: &str,
    args: &RunArgs,
    surroundings: &Surroundings,
) -> Result<u8, Stopped> {
    let prepared = prepared(scenario, args)?;
    // Read before the run: a baseline that is not there should not cost one.
    let before = match &args.compare {
        Some(name) => Some(
            baseline::load(&args.state.join("baselines"), name)
                .with_context(|| {
                    format!("cannot read the baseline `{name}`; `--save-baseline {name}` makes one")
                })
                .map_err(Stopped::usage)?,
        ),
        None => None,
    };
    if let Some(before) = &before {
        baseline::fits(before, &prepared.scenario.name).map_err(Stopped::usage)?;
    }
    let options = options(args, surroundings)?;
    let phases: Vec<String> = prepared
        .plan
        .phases
        .iter()
        .map(|phase| phase.name.clone())
        .collect();
    let stop = CancellationToken::new();
    let live = Live::new(
        &prepared.scenario.name,
        &args.target,
        phases.clone(),
        stop.clone(),
    );
    let over = CancellationToken::new();
    let page = serve_live(args, &live, &over);
    let in_place = std::io::stderr().is_terminal();
    let progress = |progress: Progress<'_>| {
        live.update(&progress);
        if !surroundings.json {
            tell(&sink::progress_line(&progress, &phases), in_place);
        }
    };
    let remark = |text: String| {
        if !surroundings.json {
            note(&text);
        }
    };
    let load = async {
        let ran = runner::run(prepared, &options, stop.clone(), remark, progress).await;
        over.cancel();
        ran
    };
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_ok() {
            note("stopping; what was measured is reported");
            stop.cancel();
        }
        std::future::pending::<()>().await;
    };
    let ran = tokio::select! {
        (ran, ()) = async { tokio::join!(load, page) } => ran,
        () = interrupted => return Ok(DONE),
    };
    if in_place && !surroundings.json {
        note("");
    }
    let report = ran.map_err(|error| Stopped {
        code: if error.is_target() {
            TARGET_LOST
        } else {
            USAGE
        },
        error: error.into(),
    })?;
    conclude(&report, args, before.as_deref(), surroundings)
}

fn prepared(scenario: &str, args: &RunArgs) -> Result<Prepared, Stopped> {
    let path = Path::new(scenario);
    let is_file = path.extension().is_some_and(|ending| ending == "toml");
    let (scenario, folder) = if is_file {
        let folder = path.parent().unwrap_or(Path::new("."));
        (Scenario::read(path), folder)
    } else {
        (builtin(scenario), Path::new("."))
    };
    let overrides = Overrides {
        users: args.users,
        rate: args.rate,
        duration: args.duration.map(Into::into),
        scale: args.scale,
        seed: args.seed,
    };
    let scenario = scenario.map_err(Stopped::usage)?;
    Prepared::new(scenario, &overrides, Registry::of_the_stack(), folder).map_err(Stopped::usage)
}

fn options(args: &RunArgs, surroundings: &Surroundings) -> Result<Options, Stopped> {
    if args.shards == Some(0) || args.shards > Some(1024) {
        return Err(Stopped::usage(anyhow::anyhow!(
            "--shards must be from 1 to 1024"
        )));
    }
    let is_local = ["//127.", "//localhost", "//[::1]"]
        .iter()
        .any(|own| args.target.contains(own));
    let mut metrics = args
        .metrics
        .iter()
        .map(|text| Endpoint::parse(text))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|wrong| Stopped::usage(anyhow::anyhow!("--metrics: {wrong}")))?;
    let port = surroundings.local_port.map(|port| format!(":{port}"));
    let is_own = port.is_some_and(|port| args.target.trim_end_matches('/').ends_with(&port));
    if is_local && is_own && metrics.is_empty() {
        metrics.clone_from(&surroundings.local_metrics);
    }
    let local = surroundings
        .local_operator_key
        .as_ref()
        .filter(|_| is_local);
    let local = local.and_then(|path| std::fs::read_to_string(path).ok());
    let operator = args.operator_key.clone().or(local);
    Ok(Options {
        target: args.target.clone(),
        shards: args.shards,
        workers: args.workers.clone(),
        worker_key: args.worker_key.worker_key.clone(),
        http2: args.http2,
        authorities: args.ca.clone(),
        metrics,
        fault_key: args.fault_key.clone(),
        users: users::Options {
            api_key: args.api_key.clone(),
            operator: operator.map(|key| key.trim().to_owned()),
            folder: args.state.clone(),
        },
        rules: Rules::default(),
    })
}

async fn serve_live(args: &RunArgs, live: &Live, over: &CancellationToken) {
    if args.no_live {
        return;
    }
    match Live::bind(args.live).await {
        Ok(listener) => {
            note(&format!("live page: http://{}/", args.live));
            if let Err(error) = live.serve(listener, over.clone()).await {
                note(&format!("the live page ended: {error}"));
            }
        }
        Err(error) => note(&format!("no live page on {}: {error}", args.live)),
    }
}

/// Over the last line on a terminal, else one after the other.
fn tell(line: &str, in_place: bool) {
    let mut stderr = std::io::stderr();
    let _ = if in_place {
        write!(stderr, "\r\u{1b}[2K{line}").and_then(|()| stderr.flush())
    } else {
        writeln!(stderr, "{line}")
    };
}

/// Tells, writes, compares, and decides the exit code.
fn conclude(
    report: &Report,
    args: &RunArgs,
    before: Option<&[Report]>,
    surroundings: &Surroundings,
) -> Result<u8, Stopped> {
    // First what can be told without a disk.
    if surroundings.json {
        let text = serde_json::to_string(report)
            .context("cannot write JSON")
            .map_err(Stopped::usage)?;
        out(&text);
    } else {
        out(&sink::summary(report));
    }
    let not_written = |error: std::io::Error, what: &str| Stopped {
        code: NOT_WRITTEN,
        error: anyhow::Error::new(error)
            .context(format!("cannot write {what}; the result stands above")),
    };
    let written =
        sink::write(report, &args.reports).map_err(|error| not_written(error, "the report"))?;
    if let Some(page) = written
        .iter()
        .find(|path| path.extension().is_some_and(|end| end == "html"))
    {
        note(&format!("report: {}", page.display()));
    }
    if report.ended == "target lost" {
        note(
            "the target accepts no connections any more; what was measured until then is reported",
        );
        return Ok(TARGET_LOST);
    }
    if !report.verdict.is_valid() {
        if args.save_baseline.is_some() || before.is_some() {
            note(
                "no baseline was saved and nothing compared: the run is INVALID; try again on a quieter machine",
            );
        }
        return Ok(INVALID);
    }
    if let Some(name) = &args.save_baseline {
        let saved = baseline::save(&args.state.join("baselines"), name, report);
        let path = saved.map_err(|error| not_written(error, "the baseline"))?;
        note(&format!("baseline: {}", path.display()));
    }
    let mut code = if report.is_met() { DONE } else { MISSED };
    if let Some(before) = before {
        code = code.max(compared(before, report, surroundings)?);
    }
    Ok(code)
}

/// Compares and tells; a regression counts as a missed objective.
pub(super) fn compared(
    before: &[Report],
    after: &Report,
    surroundings: &Surroundings,
) -> Result<u8, Stopped> {
    let after = std::slice::from_ref(after);
    let comparison =
        baseline::compare(before, after, &Bootstrap::default()).map_err(Stopped::usage)?;
    if surroundings.json {
        let text = serde_json::to_string(&comparison).context("cannot write JSON");
        out(&text.map_err(Stopped::usage)?);
    } else {
        out(&baseline::markdown(&comparison));
    }
    Ok(if comparison.change == Change::Regressed {
        MISSED
    } else {
        DONE
    })
}

#[cfg(test)]
mod tests;
