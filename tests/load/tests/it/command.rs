//! The command as a user meets it: exit codes and messages.

use std::path::Path;
use std::process::{Command, Output};

fn load(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_touchstone-load"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

fn ends(arguments: &[&str], code: i32, message: &str) {
    let folder = tempfile::tempdir().unwrap();
    let output = load(folder.path(), arguments);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    assert!(told.contains(message), "{arguments:?}: {told}");
}

/// A port of this machine that nobody listens on.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn mistakes_are_told_before_anything_is_sent() {
    ends(&["load", "run", "smoek"], 2, "did you mean `smoke`?");
    ends(&["load", "run", "bots"], 2, "waiting for");
    ends(&["load", "run", "soak", "--rate=-5"], 2, "--rate is -5");
    ends(&["load", "run", "smoke", "--users=0"], 2, "--users must be");
    ends(
        &["load", "run", "smoke", "--target", "nowhere"],
        2,
        "is no URL",
    );
    ends(
        &["load", "run", "smoke", "--compare", "main"],
        2,
        "cannot read the baseline `main`",
    );
    ends(&["load", "run", "none.toml"], 2, "cannot read the scenario");
    ends(
        &["load", "report", "none.json"],
        2,
        "cannot read the report",
    );
    ends(&["load", "runn"], 2, "unrecognized subcommand");
    ends(
        &["conformance", "--probe", "nope"],
        2,
        "there is no probe `nope`",
    );
}

#[test]
fn a_target_that_is_not_there_has_a_code_of_its_own() {
    ends(
        &["load", "run", "smoke", "--no-live", "--target", &nobody()],
        4,
        "nothing answers at",
    );
}

#[test]
fn every_scenario_is_listed_and_those_that_wait_say_for_what() {
    let folder = tempfile::tempdir().unwrap();
    let output = load(folder.path(), &["load", "list"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    for name in [
        "smoke",
        "steady",
        "levels",
        "peak",
        "host-network-1000",
        "burst",
        "browse",
        "rag",
        "soak",
    ] {
        assert!(told.lines().any(|line| line.starts_with(name)), "{name}");
    }
    assert!(
        told.contains("waiting for a service with a WebSocket endpoint"),
        "{told}"
    );
}
