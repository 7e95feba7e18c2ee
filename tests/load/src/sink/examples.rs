//! Requests to look up in the traces of the target.

use std::fmt::Write;

use super::junit::escaped;
use super::table;
use crate::objectives::milliseconds;
use crate::report::Report;

/// The slowest answers.
pub(super) fn slowest(body: &mut String, report: &Report) {
    if report.slowest.is_empty() {
        return;
    }
    let columns = ["request", "ended at", "took", "trace"];
    table::headed(body, "The slowest answers", &columns);
    for slow in &report.slowest {
        // Writing to a string cannot fail.
        let _ = write!(
            body,
            "<tr><td>{}</td><td>{} s</td><td>{}</td><td><code>{}</code></td></tr>",
            escaped(&slow.endpoint),
            slow.at,
            milliseconds(slow.ms / 1e3),
            escaped(&slow.name),
        );
    }
    table::end(body);
}
