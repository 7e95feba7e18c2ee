//! Load testers against known answers.

use touchstone_load::probe::{Graded, Pace, Probe, Tool, conformance};

use crate::child::found;
use crate::rows::Row;
use crate::{Args, say};

/// Tools that need no script: name, program, command. Those without a rate of their own get ten
/// connections, and those with one for each connection a tenth of it.
const PLAIN: [(&str, &str, &str); 6] = [
    (
        "vegeta",
        "vegeta",
        "echo 'GET {url}' | PROGRAM attack -rate {rate} -duration {seconds}s | PROGRAM report -type json",
    ),
    (
        "oha",
        "oha",
        "PROGRAM --no-tui --output-format json --latency-correction -q {rate} -z {seconds}s {url}",
    ),
    (
        "hey",
        "hey",
        "PROGRAM -n {requests} -c 10 -q $(({rate} / 10)) {url}",
    ),
    (
        "h2load",
        "h2load",
        "PROGRAM --h1 -n {requests} -c 10 --rps $(({rate} / 10)) {url}",
    ),
    (
        "wrk, 10 connections",
        "wrk",
        "PROGRAM -t1 -c10 -d $(printf %.0f {seconds})s --latency {url}",
    ),
    (
        "ab, 10 connections",
        "ab",
        "PROGRAM -q -k -n {requests} -c 10 {url}",
    ),
];

/// This engine and the others that are on the machine.
async fn tools(args: &Args) -> Vec<(&'static str, Tool)> {
    let mut tools = vec![("this engine", Tool::Own)];
    let scripts = &args.scripts;
    if let Some(k6) = found("k6", args.k6.as_ref()).await {
        let command = format!(
            "{k6} run --quiet -e URL={{url}} -e RATE={{rate}} -e SECONDS={{seconds}} --summary-export {{report}} {scripts}/k6/probe.js"
        );
        tools.push(("k6", Tool::Command(command)));
    }
    if let Some(locust) = found("locust", args.locust.as_ref()).await {
        let command = format!(
            "RATE={{rate}} {locust} -f {scripts}/locust/probe.py --headless --json -u 50 -r 50 -t $(printf %.0f {{seconds}})s --stop-timeout 15 --host {{url}}"
        );
        tools.push(("Locust, 50 users", Tool::Command(command)));
    }
    for (name, program, command) in PLAIN {
        if let Some(program) = found(program, None).await {
            let command = command.replace("PROGRAM", &program);
            tools.push((name, Tool::Command(command)));
        }
    }
    tools
}

/// The freeze probe, by every tool.
pub(crate) async fn freeze(args: &Args, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let pace = Pace::scaled(if args.quick { 0.1 } else { 1.0 });
    for (name, tool) in tools(args).await {
        let graded = Box::pin(conformance(&tool, &[Probe::Freeze], pace, |_| {})).await?;
        let mut texts = Vec::new();
        let mut holds = true;
        for line in graded
            .lines
            .iter()
            .filter(|line| line.quantity.contains("ms"))
        {
            let Some(told) = line.told else {
                texts.push(format!("{} –", line.quantity));
                holds = false;
                continue;
            };
            // The median is 0 in the closed form: what the machine takes is told as it is.
            if line.expected > 0.0 {
                let error = told / line.expected - 1.0;
                holds &= error.abs() <= 0.01;
                texts.push(format!(
                    "{} {told:.0} ({:+.1} %)",
                    line.quantity,
                    error * 100.0
                ));
            } else {
                holds &= told <= 10.0;
                texts.push(format!("{} {told:.1}", line.quantity));
            }
        }
        texts.extend(graded.mistakes);
        let is_own = matches!(tool, Tool::Own);
        rows.push(Row {
            number: 1,
            what: format!("freeze of a sixth of the run, 200/s: {name}"),
            asked: if is_own {
                "p90 and p99 within 1 % of the closed form".into()
            } else {
                "published".into()
            },
            measured: texts.join(", "),
            holds: is_own.then_some(holds),
        });
    }
    Ok(())
}

/// All probes, by every tool.
pub(crate) async fn grades(args: &Args, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let scale = if args.quick { 0.1 } else { 0.25 };
    let mut graded_by = Vec::new();
    for (name, tool) in tools(args).await {
        let graded: Graded =
            Box::pin(conformance(&tool, &Probe::ALL, Pace::scaled(scale), |_| {})).await?;
        let mut wrong: Vec<&str> = graded
            .lines
            .iter()
            .filter(|line| !line.right)
            .map(|line| line.probe)
            .collect();
        wrong.dedup();
        let is_own = matches!(tool, Tool::Own);
        rows.push(Row {
            number: 2,
            what: format!("{} probes: {name}", Probe::ALL.len()),
            asked: if is_own {
                "100".into()
            } else {
                "published".into()
            },
            measured: format!(
                "{:.0}{}",
                graded.score,
                if wrong.is_empty() {
                    String::new()
                } else {
                    format!(" (wrong: {})", wrong.join(", "))
                }
            ),
            holds: is_own.then_some(graded.score >= 100.0),
        });
        graded_by.push((name, graded));
    }
    by_probe(&graded_by);
    Ok(())
}

/// Each probe with what each tool told of it: right numbers of all.
fn by_probe(tools: &[(&str, Graded)]) {
    let names: Vec<&str> = tools.iter().map(|(name, _)| *name).collect();
    say(&format!("| probe | {} |", names.join(" | ")));
    say(&format!("|---{}|", "|---".repeat(tools.len())));
    for probe in Probe::ALL.map(Probe::name) {
        let cells = tools.iter().map(|(_, graded)| {
            let lines = graded.lines.iter().filter(|line| line.probe == probe);
            let (mut right, mut all, mut wrong) = (0, 0, Vec::new());
            for line in lines {
                all += 1;
                right += u32::from(line.right);
                if !line.right {
                    let told = line
                        .told
                        .map_or("–".to_owned(), |told| format!("{told:.3}"));
                    wrong.push(format!("{} {told}", line.quantity));
                }
            }
            if wrong.is_empty() {
                format!("{right}/{all}")
            } else {
                format!("{right}/{all}: {}", wrong.join(", "))
            }
        });
        let cells: Vec<String> = cells.collect();
        say(&format!("| {probe} | {} |", cells.join(" | ")));
    }
    say("");
}
