//! Where a report goes.

mod chart;
mod examples;
mod faults;
mod hdrlog;
mod html;
mod junit;
mod k6;
mod live;
mod prometheus;
mod table;
mod terminal;
#[cfg(test)]
mod tests;

pub use hdrlog::hdr_log;
pub use html::html;
pub use junit::junit;
pub use k6::k6_summary;
pub use live::Live;
pub use prometheus::prometheus;
pub use terminal::{progress_line, summary};

use std::io;
use std::path::{Path, PathBuf};

use crate::report::Report;

/// Writes every form of a report into a folder, each under the report's name; returns what was written.
/// Forms are written one by one, so that a disk that fills keeps those before.
pub fn write(report: &Report, folder: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)?;
    let stamp: String = report
        .started_at
        .chars()
        .filter(char::is_ascii_digit)
        .take(14)
        .collect();
    let name = format!("{}-{stamp}", report.scenario);
    let forms: [(&str, String); 6] = [
        ("json", serde_json::to_string(report)?),
        ("html", html(report)),
        ("junit.xml", junit(report)),
        (
            "k6.json",
            serde_json::to_string_pretty(&k6_summary(report))?,
        ),
        ("prom", prometheus(report)),
        ("hlog", hdr_log(report)),
    ];
    let mut written = Vec::new();
    for (ending, text) in forms {
        let path = folder.join(format!("{name}.{ending}"));
        // Beside and renamed: no half of a report is ever found.
        let beside = path.with_extension("part");
        std::fs::write(&beside, text)?;
        std::fs::rename(&beside, &path)?;
        written.push(path);
    }
    Ok(written)
}

/// Reads what [`write()`] wrote as JSON.
pub fn read(path: &Path) -> io::Result<Report> {
    let text = std::fs::read(path)?;
    serde_json::from_slice(&text).map_err(io::Error::other)
}
