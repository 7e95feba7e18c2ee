//! Baselines: reports under a name, and whether a later run differs from them.

mod bootstrap;
pub mod calibration;
mod compare;
#[cfg(test)]
mod tests;

pub use bootstrap::{Bootstrap, Side};
pub use compare::{Change, Compared, Comparison, Unlike, compare, fits, markdown};

use std::io;
use std::path::{Path, PathBuf};

use crate::report::Report;

/// Where a baseline is.
fn path(folder: &Path, name: &str) -> io::Result<PathBuf> {
    let plain = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !name.starts_with('.');
    if plain {
        Ok(folder.join(format!("{name}.json")))
    } else {
        let text = format!(
            "`{name}` is no name of a baseline; letters, digits, `-`, `_` and `.` are allowed"
        );
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }
}

/// Adds a report to a baseline; several runs make it steadier.
pub fn save(folder: &Path, name: &str, report: &Report) -> io::Result<PathBuf> {
    let path = path(folder, name)?;
    std::fs::create_dir_all(folder)?;
    let mut reports = match load(folder, name) {
        Ok(reports) => reports,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    reports.push(report.clone());
    let beside = path.with_extension("part");
    std::fs::write(&beside, serde_json::to_vec(&reports)?)?;
    std::fs::rename(&beside, &path)?;
    Ok(path)
}

/// The reports of a baseline.
pub fn load(folder: &Path, name: &str) -> io::Result<Vec<Report>> {
    let text = std::fs::read(path(folder, name)?)?;
    serde_json::from_slice(&text).map_err(io::Error::other)
}
