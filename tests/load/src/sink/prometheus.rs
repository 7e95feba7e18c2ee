//! Prometheus' text form, for a push gateway or a textfile collector.

use std::fmt::Write;

use crate::measure::Measure;
use crate::report::Report;

/// As text.
pub fn prometheus(report: &Report) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, lines: Vec<(String, f64)>| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in lines {
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
    };
    let scenario = label("scenario", &report.scenario);
    let labels = |phase: &str, endpoint: &str| {
        format!(
            "{scenario},{},{}",
            label("phase", phase),
            label("endpoint", endpoint)
        )
    };
    let mut counts = Vec::new();
    let mut durations = Vec::new();
    for row in &report.rows {
        let own = labels(&row.phase, &row.endpoint);
        counts.push((format!("{own},outcome=\"good\""), row.good as f64));
        counts.push((format!("{own},outcome=\"shed\""), row.shed as f64));
        for (class, count) in &row.classes {
            counts.push((
                format!("{own},outcome=\"error\",{}", label("class", class)),
                *count as f64,
            ));
        }
        let spread = row.spread(Measure::Total);
        for (quantile, value) in [
            ("0.5", spread.p50),
            ("0.9", spread.p90),
            ("0.95", spread.p95),
            ("0.99", spread.p99),
        ] {
            durations.push((format!("{own},quantile=\"{quantile}\""), value / 1e3));
        }
    }
    metric(
        "touchstone_load_requests_total",
        "counter",
        "Requests that ended.",
        counts,
    );
    metric(
        "touchstone_load_duration_seconds",
        "summary",
        "From the wanted begin to the end of the answer.",
        durations,
    );
    let held = report.objectives.iter().map(|judged| {
        let own = format!("{scenario},{}", label("objective", &judged.objective));
        (own, f64::from(u8::from(judged.holds)))
    });
    metric(
        "touchstone_load_objective_met",
        "gauge",
        "Whether an objective holds.",
        held.collect(),
    );
    let valid = f64::from(u8::from(report.verdict.is_valid()));
    metric(
        "touchstone_load_valid",
        "gauge",
        "Whether the measurement can be trusted.",
        vec![(scenario.clone(), valid)],
    );
    let dropped = report.generator.dropped as f64;
    metric(
        "touchstone_load_dropped_total",
        "counter",
        "Arrivals that were not sent.",
        vec![(scenario.clone(), dropped)],
    );
    text
}

fn label(name: &str, value: &str) -> String {
    let value = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}
