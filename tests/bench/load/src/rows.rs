//! What is asked, and what is measured.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use touchstone_load::baseline::calibration::{Imagined, told};
use touchstone_load::llm::check::{self, Checked};
use touchstone_load::llm::{Faults, Model, Profile};

use crate::Args;
use crate::child::{Server, generate};
use crate::known::{freeze, grades};
use crate::{recorded, say};

/// A row of the table.
pub(crate) struct Row {
    pub number: u8,
    pub what: String,
    pub asked: String,
    pub measured: String,
    pub holds: Option<bool>,
}

/// Measures what is wanted and prints the table.
pub(crate) async fn all(args: &Args) -> anyhow::Result<ExitCode> {
    let is_wanted = |number: u8| args.only.wants(&number.to_string());
    let mut rows = Vec::new();
    if is_wanted(1) {
        freeze(args, &mut rows).await?;
    }
    if is_wanted(2) {
        grades(args, &mut rows).await?;
    }
    if is_wanted(3) {
        lateness(args, &mut rows).await?;
    }
    if is_wanted(4) {
        cost(args, &mut rows).await?;
    }
    if is_wanted(5) {
        streams(&mut rows).await?;
    }
    if is_wanted(6) {
        model(args, &mut rows).await?;
    }
    if is_wanted(7) {
        seeds(&mut rows).await?;
    }
    if is_wanted(8) {
        verdicts(args, &mut rows)?;
    }
    say("| # | what | asked | measured | |\n|---|---|---|---|---|");
    for row in &rows {
        let verdict = match row.holds {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        say(&format!(
            "| {} | {} | {} | {} | {verdict} |",
            row.number, row.what, row.asked, row.measured
        ));
    }
    let is_missed = rows.iter().any(|row| row.holds == Some(false));
    Ok(ExitCode::from(u8::from(is_missed)))
}

async fn lateness(args: &Args, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let server = Server::start().await?;
    let seconds = if args.quick { 2 } else { 15 };
    let load = format!(
        "{{ kind = \"constant\", rate = 5000, duration = \"{seconds}s\", burstiness = 1 }}"
    );
    let report = generate(&server.url, "/", &load).await?;
    let lag = report.generator.lag_ms;
    rows.push(Row {
        number: 3,
        what: "lateness at 5,000 requests/s, generator and server on this machine".into(),
        asked: "p99 <= 1 ms".into(),
        measured: format!(
            "p50 {:.3} ms, p99 {:.3} ms; {}",
            lag.p50, lag.p99, report.verdict
        ),
        holds: Some(lag.p99 <= 1.0),
    });
    let runs = if args.quick { 2 } else { 20 };
    let load = "{ kind = \"constant\", rate = 500, duration = \"2s\", burstiness = 1 }";
    let mut invalid = [0, 0];
    for (place, hogs) in [(0, 0), (1, touchstone_load::machine::cores() * 8)] {
        let over = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..hogs)
            .map(|_| {
                let over = Arc::clone(&over);
                std::thread::spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        for _ in 0..runs {
            let report = generate(&server.url, "/", load).await?;
            invalid[place] += u32::from(!report.verdict.is_valid());
        }
        over.store(true, Ordering::Relaxed);
        for thread in threads {
            let _ = thread.join();
        }
    }
    rows.push(Row {
        number: 3,
        what: "verdict with eight busy threads a core beside, and without".into(),
        asked: format!("INVALID in {runs} of {runs}; in 0 of {runs}"),
        measured: format!(
            "INVALID in {} of {runs}; in {} of {runs}",
            invalid[1], invalid[0]
        ),
        holds: Some(invalid == [0, runs]),
    });
    Ok(())
}

async fn cost(args: &Args, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let server = Server::start().await?;
    let seconds = if args.quick { 2 } else { 15 };
    let load = format!("{{ kind = \"users\", users = 64, duration = \"{seconds}s\" }}");
    let report = generate(&server.url, "/", &load).await?;
    let cores = report.generator.usage.process_cores;
    let each = report.total.rate / cores.max(0.01);
    rows.push(Row {
        number: 4,
        what: "requests of 64 users against a server that does nothing, one thread".into(),
        asked: ">= 20,000/s per core".into(),
        measured: format!(
            "{each:.0}/s per core ({:.0}/s with {cores:.2} cores, {} errors)",
            report.total.rate, report.total.errors
        ),
        holds: Some(each >= 20_000.0 && report.total.errors == 0),
    });
    Ok(())
}

async fn streams(rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let server = Server::start().await?;
    let load = "{ kind = \"count\", requests = 1000, users = 1000 }";
    let report = generate(&server.url, "/stream", load).await?;
    let most = report.series.iter().map(|second| second.active).max();
    let mebibytes = report.generator.usage.memory as f64 / f64::from(1 << 20);
    let total = &report.total;
    let whole = total.good == 1000 && total.events == 8000;
    rows.push(Row {
        number: 5,
        what: "memory of the generator with 1,000 streams at a time".into(),
        asked: "<= 100 MB".into(),
        measured: format!(
            "{mebibytes:.0} MiB at most, {} streams at a time, {} events of 8000, {} errors",
            most.unwrap_or_default(),
            total.events,
            total.errors
        ),
        holds: Some(whole && mebibytes <= 95.0),
    });
    Ok(())
}

async fn model(args: &Args, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let lasting = Duration::from_secs(if args.quick { 3 } else { 40 });
    let Some(profile) = Profile::named("8b-h100") else {
        anyhow::bail!("the profile is gone");
    };
    let model = Model {
        profile,
        slots: 32,
        queue: 256,
        load_factor: 0.5,
        tokens: 60.0,
        tokens_sigma: 0.3,
        faults: Faults::default(),
        seed: 1,
    };
    for (load, prediction) in check::predicted(&model) {
        let measured = Box::pin(check::measure(&model, prediction.rate, lasting)).await;
        let report = measured.map_err(anyhow::Error::msg)?;
        let own = check::predicted_run(&model, prediction.rate, lasting);
        let checked = Checked::of(&own.map_err(anyhow::Error::msg)?, &report);
        let (first, whole) = (checked.first_token(), checked.whole());
        rows.push(Row {
            number: 6,
            what: format!("simulated LLM at {:.0} % of what it can do", load * 100.0),
            asked: "means within 5 % of what is predicted of these requests".into(),
            measured: format!(
                "first token {:.1} ms ({:+.1} %), whole {:.0} ms ({:+.1} %), {} requests; {}",
                checked.measured_ms.0,
                first * 100.0,
                checked.measured_ms.1,
                whole * 100.0,
                report.total.requests,
                report.verdict
            ),
            holds: Some(first.abs() <= 0.05 && whole.abs() <= 0.05),
        });
    }
    Ok(())
}

async fn seeds(rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let server = Server::start().await?;
    let load = "{ kind = \"constant\", rate = 500, duration = \"1s\", burstiness = 1 }";
    let mut digests = Vec::new();
    for _ in 0..2 {
        let report = generate(&server.url, "/", load).await?;
        digests.push((report.schedule, report.generator.due));
    }
    rows.push(Row {
        number: 7,
        what: "the same seed in two processes".into(),
        asked: "one SHA-256 of schedule and draws".into(),
        measured: digests
            .iter()
            .map(|(digest, due)| format!("{} ({due} arrivals)", &digest[..12]))
            .collect::<Vec<_>>()
            .join(", "),
        holds: Some(digests[0] == digests[1]),
    });
    Ok(())
}

fn verdicts(args: &Args, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let (alarms, power) = if args.quick { (10, 10) } else { (200, 50) };
    let imagined = |rate| Imagined { seconds: 180, rate };
    let false_ones = told(alarms, imagined(80), 1.0, false);
    let found = told(power, imagined(400), 1.1, true);
    rows.push(Row {
        number: 8,
        what: "regression verdict on imagined runs of 3 x 60 s a side".into(),
        asked: "<= 5 % false alarms, >= 90 % of a p99 that is 10 % longer".into(),
        measured: format!("{false_ones} of {alarms} false; {found} of {power} found"),
        holds: Some(false_ones * 20 <= alarms && found * 10 >= power * 9),
    });
    if let Some(file) = &args.recorded {
        let pairs = if args.quick { 20 } else { 200 };
        let rates = recorded::rates(file, pairs)?;
        let [usual, slower] = rates.minutes;
        rows.push(Row {
            number: 8,
            what: format!(
                "the same on {pairs} + {pairs} pairs drawn, 30 s at a time, from {usual} + {slower} live minutes ({} INVALID runs in them)",
                rates.invalid
            ),
            asked: "<= 5 % false alarms, >= 90 % of a p99 that is 10 % longer".into(),
            measured: format!(
                "{} of {pairs} false ({:.1} %); {} of {pairs} found ({:.1} %)",
                rates.alarms,
                rates.alarms as f64 / pairs as f64 * 100.0,
                rates.found,
                rates.found as f64 / pairs as f64 * 100.0
            ),
            holds: Some(rates.alarms * 20 <= pairs && rates.found * 10 >= pairs * 9),
        });
    }
    Ok(())
}
