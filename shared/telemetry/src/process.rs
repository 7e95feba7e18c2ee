//! Facts about the process that every `/metrics` page carries, from `/proc`.

use std::fmt::Write;

/// Clock ticks per second of `/proc/self/stat`; fixed at 100 in Linux's user-space interface.
const TICKS_PER_SECOND: f64 = 100.0;
const PAGE_BYTES: u64 = 4096;

/// Appends what the system tells; nothing where there is no `/proc`.
pub(crate) fn encode(text: &mut String) {
    let mut gauge = |name: &str, help: &str, value: f64| {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {value}\n"
        );
    };
    if let Some(pages) = resident_pages() {
        let bytes = pages * PAGE_BYTES;
        gauge(
            "process_resident_memory_bytes",
            "Resident memory",
            bytes as f64,
        );
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        gauge(
            "process_open_fds",
            "Open file descriptors",
            entries.count() as f64,
        );
    }
    if let Some(seconds) = cpu_seconds() {
        gauge("process_cpu_seconds", "User and system time", seconds);
    }
}

fn resident_pages() -> Option<u64> {
    std::fs::read_to_string("/proc/self/statm")
        .ok()?
        .split(' ')
        .nth(1)?
        .parse()
        .ok()
}

fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The command's name may hold spaces; the fields are counted from its closing bracket.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}
