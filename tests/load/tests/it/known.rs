//! What is known of the probes, and is so on a slow machine too.

use touchstone_load::probe::{Graded, Pace, Probe, Tool, conformance};

async fn graded(probes: &[Probe]) -> Graded {
    let graded = Box::pin(conformance(&Tool::Own, probes, Pace::scaled(0.1), |_| {}))
        .await
        .unwrap();
    assert_eq!(graded.mistakes, Vec::<String>::new());
    graded
}

#[tokio::test]
async fn counts_and_shares_of_errors_are_exact() {
    let probes = [
        Probe::Errors,
        Probe::Bucket,
        Probe::Reset,
        Probe::Cut,
        Probe::Wrong,
        Probe::Close,
        Probe::Redirect,
        Probe::Stream,
    ];
    for line in Box::pin(graded(&probes)).await.lines {
        let is_time = line.quantity.contains("ms");
        assert!(is_time || line.right, "{line:?}");
    }
}

#[tokio::test]
async fn no_time_is_told_shorter_than_it_was() {
    // A machine may be late, and then times are longer; a tool that tells shorter ones leaves something out.
    let probes = [
        Probe::Steady,
        Probe::Freeze,
        Probe::Bimodal,
        Probe::SlowBody,
        Probe::Queue,
        Probe::Stream,
    ];
    for line in Box::pin(graded(&probes)).await.lines {
        let told = line.told.unwrap();
        assert!(
            line.right || (line.quantity.contains("ms") && told > line.expected),
            "{line:?}"
        );
    }
}

#[tokio::test]
async fn a_tool_that_leaves_out_what_waits_is_graded_down() {
    // What coordinated omission looks like: everybody fast, nobody waited.
    let report = r#"{"metrics":{"http_reqs":{"count":1200},"http_req_failed":{"value":0},
        "http_req_duration":{"med":1,"p(90)":1,"p(95)":1,"p(99)":1}}}"#;
    let command = format!("echo '{}'", report.replace('\n', " "));
    let graded = Box::pin(conformance(
        &Tool::Command(command),
        &[Probe::Freeze],
        Pace::scaled(0.1),
        |_| {},
    ))
    .await
    .unwrap();
    let wrong: Vec<&str> = graded
        .lines
        .iter()
        .filter(|line| !line.right)
        .map(|line| line.quantity.as_str())
        .collect();
    assert_eq!(wrong, ["p90 in ms", "p99 in ms"], "{graded}");
}

#[tokio::test]
async fn a_tool_that_says_nothing_scores_nothing() {
    let tool = Tool::Command("echo nothing to see; exit 3".into());
    let graded = Box::pin(conformance(
        &tool,
        &[Probe::Steady],
        Pace::scaled(0.01),
        |_| {},
    ))
    .await
    .unwrap();
    assert!(graded.score.abs() < 1e-9);
    assert_eq!(graded.mistakes.len(), 1);
}
