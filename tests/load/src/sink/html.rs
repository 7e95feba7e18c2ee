//! One page that needs nothing else: no script, no font, no picture from elsewhere.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::chart::{Band, Chart, Line, number};
use super::examples::slowest;
use super::faults::{faults, marks};
use super::junit::escaped;
use super::table;
use crate::measure::Measure;
use crate::objectives::milliseconds;
use crate::report::{Report, Row, SecondRow};
use crate::services::bottleneck;

/// Its style, shared with the live page.
pub(super) const STYLE: &str = include_str!("report.css");
/// Classes of lines of which there may be any number.
const COLOURS: [&str; 5] = ["c-bad", "c-warn", "c-violet", "c-blue", "c-dim"];

/// As a page.
pub fn html(report: &Report) -> String {
    let mut body = String::new();
    head(&mut body, report);
    objectives(&mut body, report);
    body.push_str("<h2>Over time</h2>");
    for chart in charts(report) {
        body.push_str(&chart.markup());
    }
    faults(&mut body, report);
    requests(&mut body, report);
    measures(&mut body, report);
    services(&mut body, report);
    circumstances(&mut body, report);
    page(
        &format!(
            "{}: {}",
            report.scenario,
            first_word(&report.verdict.to_string())
        ),
        &body,
    )
}

/// A whole page around a body.
pub(super) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <link rel=\"icon\" href=\"data:,\"><title>{}</title><style>{STYLE}</style></head>\
         <body><main>{body}</main></body></html>",
        escaped(title)
    )
}

fn first_word(text: &str) -> &str {
    text.split(':').next().unwrap_or_default()
}

fn head(body: &mut String, report: &Report) {
    let class = if report.verdict.is_valid() {
        "valid"
    } else {
        "invalid"
    };
    let total = report.total.spread(Measure::Total);
    // Writing to a string cannot fail.
    let _ = write!(
        body,
        "<p class=\"verdict {class}\">{}</p><h1>{}</h1><p class=\"dim\">{}<br>{} · {} · {:.1} s, {}</p>",
        escaped(&report.verdict.to_string()),
        escaped(&report.scenario),
        escaped(&report.about),
        escaped(&report.target),
        escaped(&report.started_at),
        report.seconds,
        escaped(&report.ended),
    );
    body.push_str("<div class=\"facts\">");
    let mut fact = |name: &str, value: String| {
        let _ = write!(
            body,
            "<div><small>{name}</small><b>{}</b></div>",
            escaped(&value)
        );
    };
    if let Some(rating) = &report.rating {
        fact("rating", rating.clone());
    }
    fact("requests", report.total.requests.to_string());
    fact("good a second", number(report.total.rate));
    fact("errors", report.total.errors.to_string());
    fact("shed", report.total.shed.to_string());
    fact("dropped", report.generator.dropped.to_string());
    fact("p50", ms(total.p50));
    fact("p95", ms(total.p95));
    fact("p99", ms(total.p99));
    body.push_str("</div>");
}

fn objectives(body: &mut String, report: &Report) {
    table::headed(body, "Objectives", &["objective", "measured", ""]);
    for judged in &report.objectives {
        let (class, word) = if judged.holds {
            ("yes", "met")
        } else {
            ("no", "missed")
        };
        let _ = write!(
            body,
            "<tr><td class=\"text\">{}</td><td>{}</td><td class=\"{class}\">{word}</td></tr>",
            escaped(&judged.objective),
            escaped(&judged.measured)
        );
    }
    table::end(body);
}

fn charts(report: &Report) -> Vec<Chart> {
    // A second that had only begun when the run ended would look like a fall to nothing.
    let is_whole = |second: &&SecondRow| second.at == 0 || second.at as f64 + 0.5 <= report.seconds;
    let series: Vec<&SecondRow> = report.series.iter().filter(is_whole).collect();
    let bands: Vec<Band> = report
        .phases
        .iter()
        .map(|phase| Band {
            name: phase.name.clone(),
            from: phase.from,
            to: phase.to,
        })
        .collect();
    let line = |name: &str, class, value: &dyn Fn(&SecondRow) -> f64| Line {
        name: name.to_owned(),
        class,
        values: series.iter().map(|second| value(second)).collect(),
    };
    let chart = |title, unit, lines| Chart {
        title,
        unit,
        seconds: report.seconds,
        times: series.iter().map(|second| second.at as f64 + 1.0).collect(),
        lines,
        bands: bands.clone(),
        marks: marks(report),
    };
    let classes: BTreeSet<&String> = series
        .iter()
        .flat_map(|second| second.errors.keys())
        .collect();
    let mut errors: Vec<Line> = classes
        .iter()
        .zip(COLOURS.iter().cycle())
        .map(|(class, colour)| {
            line(class, colour, &|second| {
                second.errors.get(*class).copied().unwrap_or_default() as f64
            })
        })
        .collect();
    errors.push(line("dropped", "c-dim", &|second| second.dropped as f64));
    vec![
        chart(
            "Throughput",
            "requests a second",
            vec![
                line("good", "c-good", &|second| second.good as f64),
                line("shed", "c-warn", &|second| second.shed as f64),
                line("errors", "c-bad", &|second| {
                    second.errors.values().sum::<u64>() as f64
                }),
            ],
        ),
        chart(
            "Latency",
            "milliseconds from the intended begin",
            vec![
                line("p50", "c-blue", &|second| second.p50),
                line("p95", "c-violet", &|second| second.p95),
                line("p99", "c-bad", &|second| second.p99),
            ],
        ),
        chart("Errors by class", "a second", errors),
        chart(
            "Under way",
            "users, or requests under open load",
            vec![line("active", "c-blue", &|second| second.active as f64)],
        ),
        chart(
            "Lateness of the generator",
            "milliseconds, 99th percentile",
            vec![line("late", "c-dim", &|second| second.lag)],
        ),
    ]
}

fn requests(body: &mut String, report: &Report) {
    let columns = [
        "request", "count", "errors", "shed", "good/s", "p50", "p90", "p95", "p99", "p99.9", "max",
    ];
    table::headed(body, "Requests", &columns);
    let several = report.phases.len() > 1;
    for row in &report.rows {
        let name = if several {
            format!("{} · {}", row.phase, row.endpoint)
        } else {
            row.endpoint.clone()
        };
        request(body, &name, row);
    }
    if several {
        for phase in &report.phases {
            request(body, &format!("all of {}", phase.name), &phase.row);
        }
    }
    request(body, "all", &report.total);
    table::end(body);
}

fn request(body: &mut String, name: &str, row: &Row) {
    let spread = row.spread(Measure::Total);
    let class = if row.errors > 0 { "no" } else { "" };
    let _ = write!(
        body,
        "<tr><td>{}</td><td>{}</td><td class=\"{class}\">{}</td><td>{}</td><td>{}</td>",
        escaped(name),
        row.requests,
        row.errors,
        row.shed,
        number(row.rate)
    );
    for value in [
        spread.p50,
        spread.p90,
        spread.p95,
        spread.p99,
        spread.p999,
        spread.max,
    ] {
        let _ = write!(body, "<td>{}</td>", ms(value));
    }
    body.push_str("</tr>");
}

fn measures(body: &mut String, report: &Report) {
    let columns = ["from – to", "count", "mean", "p50", "p95", "p99", "max"];
    table::headed(body, "Where the time goes", &columns);
    let names = [
        (Measure::Total, "intended begin – end"),
        (Measure::Service, "actual begin – end"),
        (Measure::Wait, "intended – actual begin"),
        (Measure::Connect, "connecting"),
        (Measure::FirstByte, "actual begin – head of the answer"),
        (Measure::FirstEvent, "actual begin – first event"),
        (Measure::Gap, "between two events"),
    ];
    for (measure, name) in names {
        let spread = report.total.spread(measure);
        if spread.count == 0 {
            continue;
        }
        let _ = write!(body, "<tr><td>{name}</td><td>{}</td>", spread.count);
        for value in [spread.mean, spread.p50, spread.p95, spread.p99, spread.max] {
            let _ = write!(body, "<td>{}</td>", ms(value));
        }
        body.push_str("</tr>");
    }
    table::end(body);
}

/// Stages that a service is shown with at most.
const STAGES: usize = 8;

fn services(body: &mut String, report: &Report) {
    if report.services.is_empty() {
        return;
    }
    body.push_str("<h2>Where the services spent it</h2>");
    if let Some((service, stage, share)) = bottleneck(&report.services) {
        let _ = write!(
            body,
            "<p>Most time: <b>{}</b> in {}, {:.0} % of what all stages took.</p>",
            escaped(&stage.short(service)),
            escaped(service),
            share * 100.0
        );
    }
    table::begin(body, &["stage", "count", "mean", "together"]);
    for service in &report.services {
        for stage in service.stages.iter().take(STAGES) {
            let _ = write!(
                body,
                "<tr><td>{} · {}</td><td>{}</td><td>{}</td><td>{:.1} s</td></tr>",
                escaped(&service.name),
                escaped(&stage.short(&service.name)),
                stage.count,
                ms(stage.mean_ms()),
                stage.seconds
            );
        }
    }
    table::end(body);
    let levels = || {
        report
            .services
            .iter()
            .flat_map(|own| own.levels.iter().map(move |level| (own, level)))
    };
    if levels().next().is_none() {
        return;
    }
    table::headed(body, "Pools and queues", &["level", "mean", "most"]);
    for (service, level) in levels() {
        let _ = write!(
            body,
            "<tr><td>{} · {}</td><td>{}</td><td>{}</td></tr>",
            escaped(&service.name),
            escaped(&level.name),
            number(level.mean),
            number(level.most)
        );
    }
    table::end(body);
}

fn circumstances(body: &mut String, report: &Report) {
    let generator = &report.generator;
    let _ = write!(
        body,
        "<h2>Circumstances</h2><div class=\"scroll\"><table>\
         <tr><td>generator</td><td class=\"text\">{} threads, {:.2} cores, {:.0} MiB, late by {} (p99), {} connections, {} of {} arrivals dropped</td></tr>\
         <tr><td>seed</td><td class=\"text\">{}</td></tr>\
         <tr><td>schedule</td><td class=\"text\"><code>{}</code></td></tr>\
         <tr><td>version</td><td class=\"text\">{}</td></tr>",
        generator.shards,
        generator.usage.process_cores,
        generator.usage.memory as f64 / f64::from(1 << 20),
        ms(generator.lag_ms.p99),
        generator.connections,
        generator.dropped,
        generator.due,
        report.seed,
        escaped(&report.schedule),
        escaped(&report.version),
    );
    for worker in &generator.workers {
        let _ = write!(
            body,
            "<tr><td>worker {}</td><td class=\"text\">{} threads, {} requests, {:.2} cores, {:.0} MiB, clock {:+.3} ms (± {:.3}){}</td></tr>",
            escaped(&worker.address),
            worker.shards,
            worker.requests,
            worker.cores,
            worker.memory as f64 / f64::from(1 << 20),
            worker.clock_ms,
            worker.clock_error_ms,
            if worker.lost { ", lost" } else { "" }
        );
    }
    for (name, value) in &report.machine {
        let _ = write!(
            body,
            "<tr><td>{}</td><td class=\"text\">{}</td></tr>",
            escaped(name),
            escaped(value)
        );
    }
    for process in &report.processes {
        let _ = write!(
            body,
            "<tr><td>{}</td><td class=\"text\">{:.2} cores, {:.0} MiB, {} descriptors</td></tr>",
            escaped(&process.name),
            process.cores,
            process.memory as f64 / f64::from(1 << 20),
            process.descriptors
        );
    }
    table::end(body);
    slowest(body, report);
    if !report.examples.is_empty() {
        let _ = write!(
            body,
            "<h2>Some failures</h2><pre>{}</pre>",
            escaped(&report.examples.join("\n"))
        );
    }
    for note in &report.notes {
        let _ = write!(body, "<p class=\"dim\">{}</p>", escaped(note));
    }
}

fn ms(millis: f64) -> String {
    milliseconds(millis / 1e3)
}
