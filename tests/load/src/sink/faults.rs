//! The time line of faults.

use std::fmt::Write;

use super::chart::Band;
use super::junit::escaped;
use super::table;
use crate::report::Report;

/// Faults as they stand behind the lines of a chart.
pub(super) fn marks(report: &Report) -> Vec<Band> {
    let each = report.faults.iter().map(|fault| Band {
        name: format!("{} of {}", fault.kind, fault.service),
        from: fault.from,
        to: fault.to,
    });
    each.collect()
}

/// When each fault was there, when it struck first, and what it struck.
pub(super) fn faults(body: &mut String, report: &Report) {
    if report.faults.is_empty() {
        return;
    }
    let columns = [
        "fault",
        "from, to",
        "first after",
        "struck",
        "of",
        "share",
        "asked for",
        "on the time line",
    ];
    table::headed(body, "Faults", &columns);
    let seconds = report.seconds.max(1.0);
    let place = |at: f64| (at / seconds).clamp(0.0, 1.0) * 100.0;
    for fault in &report.faults {
        let first = fault.first.map_or_else(
            || ("–".to_owned(), String::new()),
            |first| {
                let at = place(fault.from + first);
                let mark = format!("<b style=\"left:{at:.2}%\"></b>");
                (format!("{:.0} ms", first * 1e3), mark)
            },
        );
        // Writing to a string cannot fail.
        let _ = write!(
            body,
            "<tr><td>{} · {} ({})</td><td>{:.1} – {:.1} s</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{:.1} %</td><td>{:.1} %</td>\
             <td><div class=\"lane\"><i style=\"left:{:.2}%;width:{:.2}%\"></i>{}</div></td></tr>",
            escaped(&fault.service),
            escaped(&fault.kind),
            escaped(&fault.phase),
            fault.from,
            fault.to,
            first.0,
            fault.struck,
            fault.matched,
            fault.struck as f64 / (fault.matched as f64).max(1.0) * 100.0,
            fault.share * 100.0,
            place(fault.from),
            place(fault.to) - place(fault.from),
            first.1,
        );
    }
    table::end(body);
}
