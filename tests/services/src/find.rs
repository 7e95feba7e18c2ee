//! Where programs and files are on this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program in `PATH` or in one of the directories, the latter first.
pub fn program(name: &str, directories: &[PathBuf]) -> Option<PathBuf> {
    let path = touchstone_config::variable("PATH").unwrap_or_default();
    let listed: Vec<_> = std::env::split_paths(&path).collect();
    directories
        .iter()
        .chain(&listed)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

/// Where Debian and its kin keep the programs of a PostgreSQL server, the newest first.
pub fn postgres_directories() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for root in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/pgsql"] {
        let Ok(entries) = std::fs::read_dir(root) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let version = name.trim_start_matches("postgresql@").parse();
            if let Ok(version) = version {
                found.push((version, entry.path().join("bin")));
            }
        }
    }
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, directory)| directory).collect()
}

/// A directory that outlives the tests: below Cargo's target directory, else below the temporary
/// one.
pub fn cache() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").is_file())
        .map_or_else(std::env::temp_dir, Path::to_path_buf)
        .join("test-services")
}

/// Whether a Docker engine answers.
pub fn docker() -> bool {
    static ANSWERS: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ANSWERS.get_or_init(|| {
        Command::new("docker")
            .args(["version", "--format", "{{.Server.Version}}"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

/// User and group that servers run as which refuse to run as root: `None` unless this is root.
pub fn unprivileged() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;

    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !root {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| account(&users, name))
}

/// Ids of a user in the text of `/etc/passwd`.
fn account(users: &str, name: &str) -> Option<(u32, u32)> {
    let fields: Vec<_> = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&name))?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_by_its_whole_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\npostgres2:x:5:6::/:\npostgres:x:104:111:,:/:\n";
        assert_eq!(account(users, "postgres"), Some((104, 111)));
        assert_eq!(account(users, "nobody"), None);
    }
}
