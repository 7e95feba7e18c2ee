//! Processes and their children, as `/proc` tells them.

use std::collections::HashMap;
use std::process::{Command, Stdio};

/// The process and everything below it, parents first; without `/proc` the process alone.
pub fn of(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        if let Some((parent, _)) = state(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while let Some(pid) = found.get(at) {
        let below = children.remove(pid).unwrap_or_default();
        found.extend(below);
        at += 1;
    }
    found
}

/// Parent and state letter of a process that is there.
fn state(pid: u32) -> Option<(u32, char)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, even parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let letter = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, letter))
}

/// Whether a process is there and is more than its entry in the table.
pub fn lives(pid: u32) -> bool {
    state(pid).is_some_and(|(_, letter)| letter != 'Z' && letter != 'X')
}

/// Sends a signal, `KILL`, `STOP` or `CONT`; a process that is gone is no mistake.
pub fn signal(name: &str, pids: &[u32]) {
    let mut command = Command::new("kill");
    command.arg(format!("-{name}"));
    command.args(pids.iter().map(u32::to_string));
    let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
}
