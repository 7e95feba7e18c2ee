//! Several processes make one load.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use touchstone_load::probe::{Probe, Server};
use touchstone_load::report::Report;

const KEY: &str = "known to both";

/// A probe server on a thread of its own, until it is dropped.
struct Probes {
    server: Server,
    url: String,
    over: CancellationToken,
}

impl Probes {
    fn start() -> Self {
        let server = Server::new(Duration::from_mins(1));
        let over = CancellationToken::new();
        let (tell, told) = std::sync::mpsc::channel();
        let (own, until) = (server.clone(), over.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let listener = Server::bind(0).await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                own.serve(listener, until).await;
            });
        });
        let url = format!("http://{}", told.recv().unwrap());
        Self { server, url, over }
    }

    fn seen(&self) -> u64 {
        self.server.requests(Probe::Steady)
    }
}

/// A probe server that stays until the tests are over.
pub fn probe_url() -> String {
    let probes = Probes::start();
    let url = probes.url.clone();
    std::mem::forget(probes);
    url
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

/// A worker that waits; killed when it is dropped.
struct Waiting {
    child: Child,
    address: String,
}

impl Waiting {
    fn start(folder: &Path) -> Self {
        let mut child = command(folder)
            .args(["--json", "load", "worker", "--listen", "127.0.0.1:0"])
            .args(["--worker-key", KEY])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = told["worker"].as_str().unwrap().to_owned();
        Self { child, address }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_touchstone-load"));
    command.current_dir(folder);
    command
}

/// 40 requests a second for so many seconds.
pub fn scenario(folder: &Path, seconds: u64) -> PathBuf {
    let path = folder.join("own.toml");
    let text = format!(
        r#"
        name = "own"
        about = "Of the tests."
        in_flight = 20000
        objectives = ["errors = 0"]
        [[phases]]
        name = "all"
        load = {{ kind = "constant", rate = 40, duration = "{seconds}s", burstiness = 1 }}
        [[classes]]
        name = "asker"
        steps = [{{ step = "probe" }}]
        [requests.probe]
        path = "/steady"
        expect = {{ contains = "touchstone-probe" }}
        "#
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn run(folder: &Path, url: &str, seconds: u64, more: &[&str]) -> Command {
    let mut run = command(folder);
    run.args(["--json", "load", "run"])
        .arg(scenario(folder, seconds))
        .args(["--no-live", "--target", url])
        .args(more);
    run
}

fn report(output: &Output) -> Report {
    let told = String::from_utf8_lossy(&output.stderr);
    // INVALID is what a machine without time for it deserves; counts are right all the same.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn workers_of_this_machine_make_the_load_of_one_process_together() {
    let folder = tempfile::tempdir().unwrap();
    let probes = Probes::start();
    let together = run(folder.path(), &probes.url, 3, &["--workers", "2"])
        .output()
        .unwrap();
    let together = report(&together);
    let seen = probes.seen();
    // The schedule is the seed's, whoever follows it: some 120 arrivals.
    assert!((80..160).contains(&seen), "{seen}");
    assert_eq!((together.total.requests, together.total.errors), (seen, 0));
    assert_eq!(together.total.histogram.count(), seen);
    assert_eq!(together.generator.due, seen);
    let told = |worker: &touchstone_load::workers::WorkerUse| {
        // Both clocks are the same one: what was measured of it is as wrong as it says at most.
        assert!(
            worker.clock_ms.abs() <= worker.clock_error_ms + 0.5,
            "{worker:?}"
        );
        (worker.shards, worker.lost)
    };
    let workers: Vec<(u64, bool)> = together.generator.workers.iter().map(told).collect();
    assert_eq!(workers, [(1, false), (1, false)]);
    // Every second arrival is one worker's, the others the other's.
    let made = together.generator.workers.iter().map(|own| own.requests);
    let made: Vec<u64> = made.collect();
    assert_eq!(made.iter().sum::<u64>(), seen, "{made:?}");
    assert!(made[0].abs_diff(made[1]) <= 1, "{made:?}");
    assert_eq!(together.generator.usage.threads.len(), 2);
    let alone = run(folder.path(), &probes.url, 3, &[]).output().unwrap();
    let alone = report(&alone);
    assert_eq!(alone.schedule, together.schedule);
    assert_eq!(alone.total.requests, together.total.requests);
}

#[test]
fn a_worker_that_is_lost_makes_the_run_invalid_and_the_others_can_be_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let probes = Probes::start();
    let (stays, mut goes) = (Waiting::start(folder.path()), Waiting::start(folder.path()));
    let both = format!("{},{}", stays.address, goes.address);
    let keyed = ["--workers", &both, "--worker-key", KEY];
    let mut running = run(folder.path(), &probes.url, 600, &keyed)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while probes.seen() < 60 {
        assert!(begun.elapsed() < Duration::from_mins(2), "nothing came");
        assert!(running.try_wait().unwrap().is_none(), "it ended early");
        std::thread::sleep(Duration::from_millis(20));
    }
    goes.child.kill().unwrap();
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let lost: Report = serde_json::from_slice(&output.stdout).unwrap();
    let told = format!("the worker at {} was lost", goes.address);
    assert!(lost.verdict.reasons[0].contains(&told), "{}", lost.verdict);
    assert!(lost.total.requests > 0, "what was measured is kept");
    let workers = lost.generator.workers.iter().map(|worker| worker.lost);
    assert_eq!(workers.collect::<Vec<_>>(), [false, true]);
    let before = probes.seen();
    let keyed = ["--workers", &stays.address, "--worker-key", KEY];
    let again = run(folder.path(), &probes.url, 1, &keyed).output().unwrap();
    assert_eq!(report(&again).total.requests, probes.seen() - before);
}

#[test]
fn mistakes_about_workers_are_told_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let probes = Probes::start();
    let waiting = Waiting::start(folder.path());
    let ends = |more: &[&str], message: &str| {
        let output = run(folder.path(), &probes.url, 1, more).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(message), "{told}");
    };
    let address = waiting.address.as_str();
    ends(
        &["--workers", address, "--worker-key", "another"],
        "it does not know the key",
    );
    ends(
        &["--workers", "127.0.0.1:1"],
        "there is no worker at 127.0.0.1:1",
    );
    ends(&["--workers", "none"], "neither a number nor an address");
    assert_eq!(probes.seen(), 0);
    let open = command(folder.path())
        .args(["load", "worker", "--listen", "0.0.0.0:0"])
        .output()
        .unwrap();
    assert_eq!(open.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&open.stderr).contains("--worker-key"));
}
