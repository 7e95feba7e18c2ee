//! One server process, which dies with this one.

use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::tree;

/// Reads lists of process groups; when its input ends, because its parent closed it or died, ends
/// the last of them and removes the directory, which may be a file system of its own.
const REAPER: &str = r#"
groups=
while IFS= read -r line; do groups=$line; done
for group in $groups; do kill -KILL -- "-$group" 2>/dev/null || kill -KILL "$group" 2>/dev/null; done
umount -l "$1" 2>/dev/null
for round in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$1" 2>/dev/null && break; sleep 0.1; done
[ -z "$2" ] || docker rm -f "$2" >/dev/null 2>&1
"#;

/// A number that no other process draws.
pub fn random() -> u64 {
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}

/// Ports that were free a moment ago.
pub fn free_ports<const N: usize>() -> std::io::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        *port = socket.local_addr()?.port();
        held.push(socket);
    }
    Ok(ports)
}

/// A program with what it is told.
#[derive(Clone, Debug, Default)]
pub struct Program {
    pub path: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// User and group, if not those of this process.
    pub user: Option<(u32, u32)>,
}

impl Program {
    pub fn new(path: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        Self {
            path: path.into(),
            arguments: arguments.iter().map(|&one| one.to_owned()).collect(),
            ..Self::default()
        }
    }

    fn command(&self, directory: &Path) -> std::io::Result<Command> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(directory.join("log"))?;
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        Ok(command)
    }

    /// Runs to its end; what it wrote is in the log.
    pub fn run(&self, directory: &Path) -> Result<(), String> {
        let status = self.command(directory).and_then(|mut it| it.status());
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!(
                "{} ended with {status}: {}",
                self.path.display(),
                last_words(directory)
            )),
            Err(error) => Err(format!("{}: {error}", self.path.display())),
        }
    }

    /// Starts it as a process group of its own.
    pub fn start(&self, directory: &Path) -> Result<Child, String> {
        self.command(directory)
            .and_then(|mut command| command.process_group(0).spawn())
            .map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

/// The end of the log.
pub fn last_words(directory: &Path) -> String {
    let log = std::fs::read(directory.join("log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<_> = log.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

/// Ends processes and removes a directory when this process is gone, however it went.
#[derive(Debug)]
pub struct Reaper {
    process: Child,
    input: Option<ChildStdin>,
}

impl Reaper {
    pub fn new(directory: &Path, container: Option<&str>) -> std::io::Result<Self> {
        let mut process = Command::new("sh")
            .args(["-c", REAPER, "reaper"])
            .arg(directory)
            .arg(container.unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let input = process.stdin.take();
        Ok(Self { process, input })
    }

    /// From now on these are the ones to end.
    pub fn watch(&mut self, groups: &[u32]) {
        let line: Vec<_> = groups.iter().map(u32::to_string).collect();
        if let Some(input) = &mut self.input {
            // A reaper that is gone has reaped.
            let _ = writeln!(input, "{}", line.join(" "));
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.process.wait();
    }
}

/// Ends a process with everything below it and waits until all are gone.
pub fn kill(child: &mut Child) {
    let all = tree::of(child.id());
    tree::signal("KILL", &all);
    let _ = child.wait();
    while all.iter().any(|&pid| tree::lives(pid)) {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
