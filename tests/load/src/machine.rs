//! What the kernel tells of this machine, of this process and of its threads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Clock ticks of a second in `/proc`: fixed by Linux's interface to programs.
const TICKS: f64 = 100.0;

/// What a thread of load used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ThreadUsage {
    /// Share of its time on a processor.
    pub busy: f64,
    /// Share of its time in which it could have run and had no processor.
    pub waited: f64,
}

/// What a run used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Each thread of load.
    pub threads: Vec<ThreadUsage>,
    /// Cores that this process used on average.
    pub process_cores: f64,
    /// Cores that were in use on the machine on average.
    pub machine_cores: f64,
    /// Share of the machine's time that its host gave to others.
    pub steal: f64,
    /// Peak of the memory of this process in bytes.
    pub memory: u64,
}

impl Usage {
    /// Adds what another process used, perhaps on another machine.
    pub fn add(&mut self, other: &Self) {
        self.threads.extend_from_slice(&other.threads);
        self.process_cores += other.process_cores;
        self.machine_cores = self.machine_cores.max(other.machine_cores);
        self.steal = self.steal.max(other.steal);
        self.memory += other.memory;
    }
}

/// Looks at a thread from its begin to its end; used on the thread itself.
#[derive(Debug)]
pub struct ThreadWatch {
    begun: Instant,
    before: Option<(u64, u64)>,
}

impl ThreadWatch {
    /// Begins.
    pub fn start() -> Self {
        Self {
            begun: Instant::now(),
            before: schedstat(),
        }
    }

    /// What was used.
    pub fn end(self) -> ThreadUsage {
        let elapsed = self.begun.elapsed().as_nanos() as f64;
        let (Some(before), Some(after)) = (self.before, schedstat()) else {
            return ThreadUsage::default();
        };
        ThreadUsage {
            busy: (after.0 - before.0) as f64 / elapsed,
            waited: (after.1 - before.1) as f64 / elapsed,
        }
    }
}

/// Nanoseconds that this thread ran, and that it waited for a processor.
fn schedstat() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let mut fields = text.split_whitespace().map(str::parse);
    Some((fields.next()?.ok()?, fields.next()?.ok()?))
}

/// Looks at the machine.
#[derive(Debug)]
pub struct Watch {
    begun: Instant,
    machine: Option<Machine>,
    process: f64,
}

impl Watch {
    /// Begins.
    pub fn start() -> Self {
        Self {
            begun: Instant::now(),
            machine: Machine::read(),
            process: cpu_seconds("self").unwrap_or_default(),
        }
    }

    /// What was used.
    pub fn end(&self, threads: Vec<ThreadUsage>) -> Usage {
        let elapsed = self.begun.elapsed().as_secs_f64().max(0.001);
        let process = cpu_seconds("self").unwrap_or_default() - self.process;
        let (mut busy, mut steal) = (0.0, 0.0);
        if let (Some(before), Some(after)) = (&self.machine, Machine::read()) {
            let all = (after.all - before.all).max(1.0);
            steal = (after.steal - before.steal) / all;
            busy = (after.busy - before.busy) / TICKS / elapsed;
        }
        Usage {
            threads,
            process_cores: process / elapsed,
            machine_cores: busy,
            steal,
            memory: status_bytes("self", "VmHWM:").unwrap_or_default(),
        }
    }
}

/// Ticks of all processors together.
#[derive(Debug)]
struct Machine {
    all: f64,
    busy: f64,
    steal: f64,
}

impl Machine {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// proc(5): user, nice, system, idle, iowait, irq, softirq, steal; guests are part of user.
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<f64> = line
            .split_whitespace()
            .filter_map(|field| field.parse().ok())
            .collect();
        let idle = ticks.get(3)? + ticks.get(4)?;
        let all: f64 = ticks.iter().take(8).sum();
        Some(Self {
            all,
            busy: all - idle,
            steal: *ticks.get(7)?,
        })
    }
}

/// User and system time of a process.
pub fn cpu_seconds(process: &str) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name may hold blanks and brackets: fields count from the last bracket.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

/// A size that `/proc/…/status` tells.
pub fn status_bytes(process: &str, key: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = value.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024)
}

/// Processes of one command, whose use is told in the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessUse {
    /// Their program, and its subcommand if it has one.
    pub name: String,
    /// Cores that they used on average.
    pub cores: f64,
    /// Resident memory at the end, in bytes; what several processes share is divided among them.
    pub memory: u64,
    /// Descriptors at the end.
    pub descriptors: u64,
}

/// Looks at the processes of this machine that are not this one.
#[derive(Debug)]
pub struct Processes {
    begun: Instant,
    before: BTreeMap<u32, f64>,
}

impl Processes {
    /// Begins.
    pub fn start() -> Self {
        Self {
            begun: Instant::now(),
            before: all_cpu_seconds(),
        }
    }

    /// Those that used most, at least a hundredth of a core, and others of their programs.
    pub fn end(&self, most: usize) -> Vec<ProcessUse> {
        let elapsed = self.begun.elapsed().as_secs_f64().max(0.001);
        let own = std::process::id();
        let mut groups: BTreeMap<(String, String), (f64, Vec<u32>)> = BTreeMap::new();
        for (id, after) in all_cpu_seconds().into_iter().filter(|(id, _)| *id != own) {
            let before = self.before.get(&id).copied().unwrap_or(after);
            let line = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let group = groups.entry(command(&line)).or_default();
            group.0 += (after - before) / elapsed;
            group.1.push(id);
        }
        let busy: BTreeSet<String> = groups
            .iter()
            .filter(|((program, _), (cores, _))| !program.is_empty() && *cores >= 0.01)
            .map(|((program, _), _)| program.clone())
            .collect();
        let mut found: Vec<ProcessUse> = groups
            .into_iter()
            .filter(|((program, _), _)| busy.contains(program))
            .map(|((program, role), (cores, ids))| ProcessUse {
                name: format!("{program} {role}").trim_end().to_owned(),
                cores,
                memory: ids.iter().map(|id| resident(*id)).sum(),
                descriptors: ids.iter().map(|id| descriptors(*id)).sum(),
            })
            .collect();
        found.sort_by(|a, b| b.cores.total_cmp(&a.cores));
        found.truncate(most);
        found
    }
}

/// Resident memory of a process, its share of what it shares; all of it where that is not told.
fn resident(id: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
    let share = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = share.and_then(|kib| kib.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .or_else(|| status_bytes(&id.to_string(), "VmRSS:"))
        .unwrap_or_default()
}

fn descriptors(id: u32) -> u64 {
    fs::read_dir(format!("/proc/{id}/fd")).map_or(0, |entries| entries.count() as u64)
}

fn all_cpu_seconds() -> BTreeMap<u32, f64> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|id| Some((id, cpu_seconds(&id.to_string())?)))
        .collect()
}

/// Program and subcommand of a command line. Programs that write a title over it are known by its
/// first word; those of the kernel have none.
fn command(line: &str) -> (String, String) {
    let mut words = line.split('\0');
    let title = words.next().unwrap_or_default();
    let path = title.split([' ', ':']).next().unwrap_or_default();
    let program = path.rsplit('/').next().unwrap_or_default();
    let role: Vec<&str> = words
        .take_while(|word| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        })
        .take_while(|word| !word.starts_with('-'))
        .take(2)
        .collect();
    (program.to_owned(), role.join(" "))
}

/// The machine, for reports: processor, cores, memory, kernel.
pub fn description() -> BTreeMap<String, String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, model)| model);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .map_or("unknown", str::trim);
    BTreeMap::from([
        ("processor".to_owned(), model.to_owned()),
        ("cores".to_owned(), cores().to_string()),
        ("memory".to_owned(), memory.to_owned()),
        ("kernel".to_owned(), kernel.trim().to_owned()),
    ])
}

/// Processors that this process may use.
pub fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_the_machine_are_told_apart() {
        let machine = Machine::parse("cpu  100 0 50 800 40 0 5 5 0 0\ncpu0 1").unwrap();
        assert!((machine.all - 1000.0).abs() < 1e-9);
        assert!((machine.busy - 160.0).abs() < 1e-9);
        assert!((machine.steal - 5.0).abs() < 1e-9);
    }

    #[test]
    fn processes_are_known_by_program_and_subcommand() {
        let cases = [
            (
                "/usr/bin/touchstone\0serve\0gateway\0--port\0",
                "touchstone",
                "serve gateway",
            ),
            (
                "postgres: touchstone postgres 127.0.0.1(1) idle",
                "postgres",
                "",
            ),
            (
                "/usr/lib/postgresql/15/bin/postgres\0-D\0data\0",
                "postgres",
                "",
            ),
            ("/usr/bin/redis-server 127.0.0.1:1", "redis-server", ""),
            ("/usr/bin/java\0-Xms64m\0-cp\0", "java", ""),
            ("", "", ""),
        ];
        for (line, program, role) in cases {
            assert_eq!(
                command(line),
                (program.to_owned(), role.to_owned()),
                "{line}"
            );
        }
    }

    #[test]
    fn processes_of_one_command_are_told_together() {
        let sleep = || {
            let mut command = std::process::Command::new("sh");
            command.args(["-c", "while :; do :; done"]);
            command.spawn().unwrap()
        };
        let mut both = [sleep(), sleep()];
        let begun = Processes::start();
        let found = loop {
            let found = begun.end(100);
            if let Some(found) = found.into_iter().find(|found| found.name == "sh") {
                break found;
            }
        };
        for child in &mut both {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(found.memory > 0 && found.descriptors >= 6, "{found:?}");
    }

    #[test]
    fn this_process_is_seen() {
        assert!(cpu_seconds("self").is_some());
        assert!(status_bytes("self", "VmRSS:").unwrap() > 1 << 20);
        assert!(schedstat().is_some());
    }
}
