//! For people at a terminal.

use std::fmt::Write;

use crate::engine::Progress;
use crate::measure::Measure;
use crate::objectives::milliseconds;
use crate::report::{Report, Row};
use crate::services::bottleneck;

/// One line about the second that has ended.
pub fn progress_line(progress: &Progress<'_>, phases: &[String]) -> String {
    let second = progress.second;
    let total = second.total.dense();
    let ms = |q: f64| milliseconds(total.quantile(q).as_secs_f64());
    let phase = phases.get(progress.phase).map_or("", String::as_str);
    let mut line = format!(
        "{:>5} s  {phase}: {} active, {}/s, p50 {}, p95 {}",
        progress.elapsed.as_secs(),
        second.active,
        second.good,
        ms(0.5),
        ms(0.95),
    );
    if second.shed > 0 {
        let _ = write!(line, ", {} shed", second.shed);
    }
    if second.errors.total() > 0 {
        let _ = write!(line, ", {} errors", second.errors.total());
    }
    if second.dropped > 0 {
        let _ = write!(line, ", {} DROPPED", second.dropped);
    }
    line
}

/// The result, the verdict above everything.
pub fn summary(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", report.verdict);
    let _ = writeln!(
        text,
        "{} against {}, {:.1} s, {}, seed {}",
        report.scenario, report.target, report.seconds, report.ended, report.seed
    );
    if let Some(rating) = &report.rating {
        let _ = writeln!(text, "rating: {rating}");
    }
    text.push('\n');
    for judged in &report.objectives {
        let sign = if judged.holds { "met   " } else { "MISSED" };
        let _ = writeln!(
            text,
            "  {sign}  {}   (measured: {})",
            judged.objective, judged.measured
        );
    }
    text.push('\n');
    let _ = writeln!(
        text,
        "{:<34} {:>9} {:>7} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "request", "count", "errors", "shed", "good/s", "p50", "p95", "p99", "max"
    );
    let several = report.phases.len() > 1;
    for row in &report.rows {
        let name = if several {
            format!("{} · {}", row.phase, row.endpoint)
        } else {
            row.endpoint.clone()
        };
        line(&mut text, &name, row);
    }
    line(&mut text, "all", &report.total);
    let service = report.total.spread(Measure::Service);
    let total = report.total.spread(Measure::Total);
    let _ = writeln!(
        text,
        "\nfrom the actual begin: p50 {}, p95 {}, p99 {}; from the intended one: p50 {}, p95 {}, p99 {}",
        ms(service.p50),
        ms(service.p95),
        ms(service.p99),
        ms(total.p50),
        ms(total.p95),
        ms(total.p99)
    );
    if let Some((service, stage, share)) = bottleneck(&report.services) {
        let _ = writeln!(
            text,
            "most time of the services: {} in {service}, {:.0} % of what all stages took, {} each",
            stage.short(service),
            share * 100.0,
            ms(stage.mean_ms())
        );
    }
    let generator = &report.generator;
    let _ = writeln!(
        text,
        "generator: {} threads, {:.2} of {} cores, late by {} (p99), {} connections, {} of {} arrivals dropped, {:.0} MiB",
        generator.shards,
        generator.usage.process_cores,
        report.machine.get("cores").map_or("?", String::as_str),
        ms(generator.lag_ms.p99),
        generator.connections,
        generator.dropped,
        generator.due,
        generator.usage.memory as f64 / f64::from(1 << 20),
    );
    for process in &report.processes {
        let _ = writeln!(
            text,
            "  {:<40} {:>5.2} cores {:>6.0} MiB {:>5} descriptors",
            process.name,
            process.cores,
            process.memory as f64 / f64::from(1 << 20),
            process.descriptors
        );
    }
    for example in report.examples.iter().take(8) {
        let _ = writeln!(text, "failed: {example}");
    }
    for note in &report.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

fn line(text: &mut String, name: &str, row: &Row) {
    let spread = row.spread(Measure::Total);
    let _ = writeln!(
        text,
        "{name:<34} {:>9} {:>7} {:>7} {:>9.1} {:>9} {:>9} {:>9} {:>9}",
        row.requests,
        row.errors,
        row.shed,
        row.rate,
        ms(spread.p50),
        ms(spread.p95),
        ms(spread.p99),
        ms(spread.max)
    );
}

fn ms(millis: f64) -> String {
    milliseconds(millis / 1e3)
}
