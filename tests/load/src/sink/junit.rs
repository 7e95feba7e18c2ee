//! JUnit: the verdict and every objective as a test.

use std::fmt::Write;

use crate::report::Report;

/// As XML.
pub fn junit(report: &Report) -> String {
    let missed = report
        .objectives
        .iter()
        .filter(|judged| !judged.holds)
        .count();
    let invalid = usize::from(!report.verdict.is_valid());
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let suite = escaped(&report.scenario);
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "<testsuite name=\"{suite}\" tests=\"{}\" failures=\"{missed}\" errors=\"{invalid}\" time=\"{:.3}\" timestamp=\"{}\">",
        report.objectives.len() + 1,
        report.seconds,
        escaped(&report.started_at),
    );
    let _ = write!(
        text,
        "  <testcase classname=\"{suite}\" name=\"the measurement is valid\""
    );
    if report.verdict.is_valid() {
        text.push_str("/>\n");
    } else {
        let reason = escaped(&report.verdict.to_string());
        let _ = writeln!(text, "><error message=\"{reason}\"/></testcase>");
    }
    for judged in &report.objectives {
        let _ = write!(
            text,
            "  <testcase classname=\"{suite}\" name=\"{}\"",
            escaped(&judged.objective)
        );
        if judged.holds {
            text.push_str("/>\n");
        } else {
            let measured = escaped(&judged.measured);
            let _ = writeln!(
                text,
                "><failure message=\"measured: {measured}\"/></testcase>"
            );
        }
    }
    text.push_str("</testsuite>\n");
    text
}

/// Text inside of markup.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // XML has no form for other control characters.
            letter if letter.is_control() && !matches!(letter, '\n' | '\t') => {
                escaped.push('\u{fffd}');
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}
