//! What the kernel knows of a process, and the cores.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

/// Clock ticks of a second in `/proc`: fixed by Linux's interface to programs.
const TICKS: u64 = 100;

/// The core that the proxies have to themselves.
pub const PROXY_CORE: usize = 0;
/// The core of the load, the mock and this program.
pub const LOAD_CORE: usize = 1;

/// Binds this process, threads to come included, to the core of the load. Call it first.
pub fn stay_on_load_core() -> anyhow::Result<()> {
    let id = std::process::id().to_string();
    let done = Command::new("taskset")
        .args(["-p", "-c", &LOAD_CORE.to_string(), &id])
        .output()
        .context("`taskset` of util-linux is needed")?;
    anyhow::ensure!(
        done.status.success(),
        "cannot stay on core {LOAD_CORE}: {}; two cores are needed",
        String::from_utf8_lossy(&done.stderr).trim()
    );
    Ok(())
}

/// Processor time of a process and all its descendants that live.
pub fn cpu_time(id: u32) -> anyhow::Result<Duration> {
    let mut ticks = 0;
    for member in family(id)? {
        // A child may end between the listing and the reading.
        if let Some(stat) = Stat::read(member) {
            ticks += stat.ticks;
        }
    }
    Ok(Duration::from_millis(ticks * 1000 / TICKS))
}

/// Resident memory of a process and all its descendants in bytes.
pub fn resident_bytes(id: u32) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for member in family(id)? {
        let status = fs::read_to_string(format!("/proc/{member}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        bytes += kib.unwrap_or_default() * 1024;
    }
    Ok(bytes)
}

/// Name of the processor, kernel and number of cores.
pub fn description() -> BTreeMap<&'static str, String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, model)| model);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = cpu
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    BTreeMap::from([
        ("processor", model.to_owned()),
        ("kernel", kernel.trim().to_owned()),
        ("cores", cores.to_string()),
        ("load_at_start", load.trim().to_owned()),
    ])
}

/// The process and its descendants.
fn family(id: u32) -> anyhow::Result<Vec<u32>> {
    anyhow::ensure!(Stat::read(id).is_some(), "process {id} has ended");
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Some(stat) = Stat::read(process) {
            parents.insert(process, stat.parent);
        }
    }
    let mut members = vec![id];
    let mut seen = 0;
    while let Some(&next) = members.get(seen) {
        members.extend(
            parents
                .iter()
                .filter(|(_, parent)| **parent == next)
                .map(|(id, _)| *id),
        );
        seen += 1;
    }
    Ok(members)
}

struct Stat {
    parent: u32,
    ticks: u64,
}

impl Stat {
    fn read(id: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }

    /// The name of a process may hold blanks and brackets: fields count from the last bracket.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
        // proc(5): field 4 is the parent, 14 and 15 are user and system time.
        Some(Self {
            parent: u32::try_from(number(1)?).ok()?,
            ticks: number(11)? + number(12)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_any_name() {
        let stat = Stat::parse("7 (a) b (c) R 3 7 7 0 -1 0 1 2 3 4 250 50 9 9 20 0").unwrap();
        assert_eq!((stat.parent, stat.ticks), (3, 300));
    }

    #[test]
    fn children_count() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let members = family(std::process::id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(members.contains(&child.id()));
    }
}
