//! Telethon in a virtual environment of its own, below Cargo's target folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// Sources of the peer.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/telethon");

/// The interpreter and the script that exports.
pub struct Telethon {
    pub python: PathBuf,
    pub script: PathBuf,
}

/// Makes the environment, anew when the requirements have changed.
pub fn telethon() -> anyhow::Result<Telethon> {
    let own = std::env::current_exe()?;
    let target = own
        .parent()
        .and_then(Path::parent)
        .context("no target folder")?;
    let folder = target.join("bench-peers/telethon");
    let sources = Path::new(SOURCES);
    let requirements = sources.join("requirements.txt");
    let marker = folder.join("installed.txt");
    let wanted = std::fs::read_to_string(&requirements)?;
    if !std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        done(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&folder),
        )?;
        done(
            Command::new(folder.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
                .arg(&requirements),
        )?;
        std::fs::write(marker, wanted)?;
    }
    Ok(Telethon {
        python: folder.join("bin/python"),
        script: sources.join("export.py"),
    })
}

fn done(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("`{name}` is not installed"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "`{name}` failed: {said}");
    Ok(())
}
