//! Requests to look up in the traces of the target.

use std::fmt::Write;

use super::junit::escaped;
use crate::objectives::milliseconds;
use crate::report::Report;

/// The slowest answers.
pub(super) fn slowest(body: &mut String, report: &Report) {
    if report.slowest.is_empty() {
        return;
    }
    body.push_str(
        "<h2>The slowest answers</h2><div class=\"scroll\"><table><tr><th>request</th><th>ended at</th>\
         <th>took</th><th>trace</th></tr>",
    );
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
    body.push_str("</table></div>");
}
