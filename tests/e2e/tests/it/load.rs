//! The load suite against a whole stack: real users, their plan, right answers.

use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use crate::support::Process;
use crate::support::deployment::BINARY;

/// Runs a scenario and returns its report.
async fn load(folder: &Path, url: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(BINARY)
        .current_dir(folder)
        .args(["--json", "load"])
        .args(arguments)
        .args(["--no-live", "--target", url])
        .output()
        .await
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout);
    (
        output.status.code(),
        report.unwrap_or_else(|error| panic!("{error}: {complaint}")),
    )
}

/// What the machine is too slow for is no mistake; everything else is.
fn is_right(code: Option<i32>, report: &Value) {
    assert!(matches!(code, Some(0 | 1 | 3)), "{code:?}");
    assert_eq!(report["total"]["errors"], 0, "{:#}", report["examples"]);
    assert_eq!(report["ended"], "complete");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_real_their_answers_right_and_the_limits_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let (process, url) = Process::demo_stack(folder.path()).await;
    let key = std::fs::read_to_string(folder.path().join("data/cli-key")).unwrap();
    let http = reqwest::Client::builder().build().unwrap();
    let limits = async || {
        let request = http
            .get(format!("{url}/api/v1/config"))
            .bearer_auth(key.trim());
        let limits: Value = request.send().await.unwrap().json().await.unwrap();
        limits
    };
    let before = limits().await;

    let (code, report) = load(folder.path(), &url, &["smoke"]).await;
    is_right(code, &report);
    assert_eq!(report["total"]["good"], 50);
    let endpoints: Vec<&str> = report["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["endpoint"].as_str().unwrap())
        .collect();
    for endpoint in ["search", "ask", "documents.get", "me"] {
        assert!(endpoints.contains(&endpoint), "{endpoints:?}");
    }
    for form in ["html", "json", "junit.xml", "k6.json", "prom", "hlog"] {
        let mut files = std::fs::read_dir(folder.path().join("load-reports")).unwrap();
        let ending = format!(".{form}");
        assert!(
            files.any(|file| file
                .unwrap()
                .file_name()
                .to_string_lossy()
                .ends_with(&ending)),
            "{form}"
        );
    }
    // The users of the first run come again with what was kept of them.
    let arguments = ["run", "cache", "--duration=2s", "--seed=2"];
    let (code, again) = load(folder.path(), &url, &arguments).await;
    is_right(code, &again);
    assert!(again["total"]["good"].as_u64().unwrap() > 200);

    assert_eq!(
        limits().await,
        before,
        "what was opened for the run is closed again"
    );
    process.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_admits_exactly_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let (process, url) = Process::demo_stack(folder.path()).await;
    let (code, report) = load(folder.path(), &url, &["run", "rate-limit", "--scale=0.5"]).await;
    is_right(code, &report);
    let rows = report["rows"].as_array().unwrap();
    let row = |name: &str| rows.iter().find(|row| row["endpoint"] == name).unwrap();
    assert_eq!(row("quota")["good"], 60, "{}", row("quota"));
    assert!(row("quota")["shed"].as_u64().unwrap() > 0);
    assert_eq!(row("documents.list")["shed"], 0);
    process.kill().await;
}
