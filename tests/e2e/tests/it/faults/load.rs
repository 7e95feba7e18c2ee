//! The load suite asks for faults, and says INVALID when one of them touched nothing.

use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use super::plane::{KEY, Plane};
use crate::support::Process;
use crate::support::deployment::BINARY;

const INVALID: i32 = 3;
const USAGE: i32 = 2;
const SCENARIO: &str = r#"
name = "calm-and-storm"
about = "A fault in the second phase."
accounts = { count = 2, documents = 1 }
[[phases]]
name = "calm"
load = { kind = "users", users = 2, duration = "1s" }
[[phases]]
name = "storm"
load = { kind = "users", users = 2, duration = "2s" }
[[classes]]
name = "reader"
steps = [{ step = "search.fresh" }, { step = "me" }]
[[faults]]
phase = "storm"
service = "retrieval"
fault = { kind = "error", status = 507, share = 0.5, path = "/search" }
"#;

async fn load(
    folder: &Path,
    arguments: &[&str],
    key: Option<&str>,
) -> (Option<i32>, String, Value) {
    let mut command = Command::new(BINARY);
    command
        .current_dir(folder)
        .args(["--json", "load", "run"])
        .args(arguments)
        .arg("--no-live");
    if let Some(key) = key {
        command.args(["--fault-key", key]);
    }
    let output = command.output().await.unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), complaint, report)
}

fn reasons(report: &Value) -> String {
    report["verdict"]["reasons"].to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_proves_that_its_faults_fired_and_is_invalid_when_they_did_not() {
    let folder = tempfile::tempdir().unwrap();
    let (process, url) = Process::faulty_stack(folder.path(), KEY).await;
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    write("fires.toml", SCENARIO);
    let target = ["--target", url.as_str()];

    let arguments = [&["fires.toml"][..], &target].concat();
    let (code, complaint, _) = load(folder.path(), &arguments, None).await;
    assert_eq!(code, Some(USAGE), "without a key: {complaint}");
    assert!(complaint.contains("--fault-key"), "{complaint}");

    let (code, complaint, report) = load(folder.path(), &arguments, Some(KEY)).await;
    assert_ne!(code, Some(USAGE), "{complaint}");
    let fault = &report["faults"][0];
    let (matched, struck) = (fault["matched"].as_u64(), fault["struck"].as_u64());
    let (matched, struck) = (matched.unwrap(), struck.unwrap());
    assert!(struck > 0 && struck < matched, "{fault}");
    assert!(!reasons(&report).contains("fault"), "{}", reasons(&report));
    // Over the gateway's port the plane says the same, and the fault is gone.
    let plane = Plane::at(&url).beyond("retrieval");
    let shown = plane.overview().await.faults;
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!((shown[0].matched, shown[0].struck), (matched, struck));
    assert_ne!(shown[0].state, touchstone_faults::State::Active);

    write(
        "misses.toml",
        &SCENARIO.replace("\"/search\"", "\"/nowhere\""),
    );
    let arguments = [&["misses.toml"][..], &target].concat();
    let (code, _, report) = load(folder.path(), &arguments, Some(KEY)).await;
    assert_eq!(code, Some(INVALID));
    assert!(
        reasons(&report).contains("touched nothing"),
        "{}",
        reasons(&report)
    );

    let arguments = [
        &["service-failure", "--scale=0.1", "--users=6"][..],
        &target,
    ]
    .concat();
    let (code, complaint, report) = load(folder.path(), &arguments, Some(KEY)).await;
    assert_ne!(code, Some(USAGE), "{complaint}");
    assert_eq!(report["ended"], "complete", "{complaint}");
    let faults = report["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 6);
    for fault in faults {
        assert!(fault["struck"].as_u64().unwrap() > 0, "{fault}");
    }
    process.kill().await;
}
