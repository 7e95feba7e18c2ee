//! The command line as people use it: a stack in the background, commands beside it, mistakes.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tokio::process::Command;

use crate::support::Process;
use crate::support::deployment::BINARY;

/// Runs a command in `folder`, where the stack's data is.
async fn run(folder: &Path, url: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command
        .current_dir(folder)
        .args(arguments)
        .env_remove("SERVICE_KEY");
    if let Some(url) = url {
        command.env("TOUCHSTONE_URL", url);
    }
    command.output().await.unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", complaint(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_talk_to_the_stack_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let (process, url) = Process::demo_stack(folder.path()).await;
    let run = async |arguments: &[&str]| run(folder.path(), Some(&url), arguments).await;

    let files = folder.path().join("files");
    std::fs::create_dir_all(files.join("deep")).unwrap();
    std::fs::write(
        files.join("good.md"),
        "# Otters\n\nThe otter Bruna weighs 9 kilograms.",
    )
    .unwrap();
    std::fs::write(
        files.join("deep/more.txt"),
        "Выдра Бруна живёт в реке Лене.",
    )
    .unwrap();
    std::fs::write(files.join("bad.exe"), b"MZ\x90\x00\x03\x00\x00\x00").unwrap();
    let ingested = run(&["ingest", "files"]).await;
    assert_eq!(ingested.status.code(), Some(1), "a file failed");
    let summary = text(&ingested);
    assert!(
        summary.contains("2 of 3 files are in") && summary.contains("bad.exe"),
        "{summary}"
    );
    assert!(summary.contains("document.unsupported_format"), "{summary}");

    // An interrupted run is repeated: nothing is uploaded twice.
    let again = run(&["ingest", "files/good.md", "--json"]).await;
    let again = json(&again);
    let other = json(&run(&["ingest", "files/good.md", "--json"]).await);
    assert_eq!(again[0]["id"], other[0]["id"]);
    assert_eq!(again[0]["status"], "indexed");

    let answer = json(&run(&["ask", "How heavy is the otter Bruna?", "--json"]).await);
    assert!(
        answer["answer"].as_str().unwrap().contains("9 kilograms"),
        "{answer}"
    );
    let streamed = run(&["ask", "Где живёт выдра Бруна?", "--stream"]).await;
    assert!(
        text(&streamed).contains("в реке Лене") && text(&streamed).contains("exact"),
        "{}",
        text(&streamed)
    );
    let found = run(&["search", "otter", "--explain"]).await;
    assert!(
        text(&found).contains("bm25") && text(&found).contains(" ms "),
        "{}",
        text(&found)
    );
    let models = run(&["models", "list"]).await;
    assert!(models.status.success() && complaint(&models).contains("dense search is off"));
    let reindexed = json(&run(&["reindex", "--json"]).await);
    assert!(reindexed["documents"].as_u64().unwrap() >= 2, "{reindexed}");

    // What containers and probes ask.
    let well = run(&["health", "--url", &url]).await;
    assert_eq!(text(&well), format!("{url}: ready\n"));
    assert_eq!(well.status.code(), Some(0));
    let live = run(&["health", "--live", "--url", &url, "--json"]).await;
    assert_eq!(json(&live)["services"][&url], "live");

    // The data belongs to the process that runs.
    let second = run(&[
        "--gateway-port=0",
        "--auth-port=0",
        "--document-port=0",
        "--embedding-port=0",
        "--retrieval-port=0",
        "--generation-port=0",
        "--model-port=0",
        "--vector-port=0",
    ])
    .await;
    assert_eq!(second.status.code(), Some(1));
    assert!(
        complaint(&second).contains("another process uses the data directory"),
        "{}",
        complaint(&second)
    );
    process.kill().await;
    let gone = run(&["ask", "Anybody there?"]).await;
    assert_eq!(gone.status.code(), Some(1));
    assert!(
        complaint(&gone).contains("no stack answers at"),
        "{}",
        complaint(&gone)
    );
    let down = run(&["health", "--url", &url]).await;
    assert_eq!(down.status.code(), Some(1));
    assert!(
        text(&down).contains(": does not answer ("),
        "{}",
        text(&down)
    );
    assert_eq!(text(&down).lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_walks_the_golden_path_alone() {
    let folder = tempfile::tempdir().unwrap();
    let demo = run(folder.path(), Some("http://127.0.0.1:9"), &["demo"]).await;
    let text = text(&demo);
    assert!(demo.status.success(), "{text}{}", complaint(&demo));
    for expected in ["Jonas Ahlberg", "14 October 1887", "Павел Рогозин", "exact"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[tokio::test]
async fn mistakes_in_the_configuration_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(
        folder.path(),
        None,
        &[
            "config",
            "print",
            "--set",
            "retrieval.candidates=5",
            "--set",
            "nowhere.x=1",
            "--set",
            "stack.demo.email=x",
        ],
    )
    .await;
    assert_eq!(output.status.code(), Some(2));
    for expected in [
        "retrieval.candidates",
        "unknown section `nowhere`",
        "stack.demo.email",
    ] {
        assert!(
            complaint(&output).contains(expected),
            "{}",
            complaint(&output)
        );
    }
    let short = run(
        folder.path(),
        None,
        &["config", "print", "--set", "auth.jwt_secret=hunter2"],
    )
    .await;
    assert_eq!(short.status.code(), Some(2));
    assert!(
        !complaint(&short).contains("hunter2"),
        "{}",
        complaint(&short)
    );
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(
        folder.path(),
        None,
        &["serve", "vector", "--vector-port", &port],
    )
    .await;
    assert_eq!(output.status.code(), Some(1));
    let complaint = complaint(&output);
    assert!(
        complaint.contains(&port) && complaint.contains("--vector-port"),
        "{complaint}"
    );
}

#[tokio::test]
async fn configuration_and_completions_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let printed = run(folder.path(), None, &["config", "print"]).await;
    assert!(printed.status.success() && text(&printed).contains("[retrieval.fusion.weights]"));
    let file = folder.path().join("touchstone.toml");
    let defaults = run(folder.path(), None, &["config", "defaults"]).await;
    // What is printed as the defaults is a file that can be used.
    std::fs::write(file, defaults.stdout).unwrap();
    let again = run(folder.path(), None, &["config", "print"]).await;
    assert_eq!(text(&again), text(&printed), "{}", complaint(&again));
    let completions = run(folder.path(), None, &["completions", "bash"]).await;
    assert!(text(&completions).contains("_touchstone()"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_waits_for_its_server_stops_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut vector = Command::new(BINARY)
        .current_dir(folder.path())
        .args(["serve", "vector", "--vector-port", &port.to_string()])
        .env("SERVICE_KEY", "a service key of the end-to-end tests, long enough")
        // Nothing listens there, so the service never becomes ready.
        .env("QDRANT_URL", "qdrant://127.0.0.1:1")
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let asked = async |arguments: &[&str]| {
        let arguments = [&["health", "--url", &url], arguments].concat();
        run(folder.path(), None, &arguments).await
    };
    for _ in 0..300 {
        if asked(&["--live"]).await.status.success() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let waiting = asked(&[]).await;
    assert_eq!(waiting.status.code(), Some(1));
    assert!(
        text(&waiting).contains(": waits for qdrant"),
        "{}",
        text(&waiting)
    );

    let id = vector.id().unwrap().to_string();
    let told = Command::new("kill").args(["-TERM", &id]).status().await;
    assert!(told.unwrap().success());
    let ended = tokio::time::timeout(std::time::Duration::from_secs(30), vector.wait()).await;
    assert_eq!(ended.unwrap().unwrap().code(), Some(0));
}
