//! Reports are compared by the command, and what cannot be compared is refused.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn load(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_touchstone-load"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

/// The report of a run against a probe, made longer: thirty seconds like its first.
fn report(folder: &Path) -> Value {
    let url = crate::workers::probe_url();
    let scenario = crate::workers::scenario(folder, 2);
    let output = load(
        folder,
        &[
            "--json",
            "load",
            "run",
            scenario.to_str().unwrap(),
            "--no-live",
            "--target",
            &url,
        ],
    );
    let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let first = report["series"][0].clone();
    let seconds = (0..30).map(|at| {
        let mut second = first.clone();
        second["at"] = at.into();
        second
    });
    report["series"] = seconds.collect();
    report["seconds"] = 30.0.into();
    report["verdict"]["reasons"] = json!([]);
    report
}

fn written(folder: &Path, name: &str, report: &Value) -> String {
    std::fs::write(folder.join(name), report.to_string()).unwrap();
    name.to_owned()
}

#[test]
fn reports_of_two_runs_are_compared_and_unlike_ones_refused() {
    let folder = tempfile::tempdir().unwrap();
    let before = report(folder.path());
    let first = written(folder.path(), "before.json", &before);
    let ends = |name: &str, change: &dyn Fn(&mut Value), code: i32, message: &str| {
        let mut after = before.clone();
        change(&mut after);
        let second = written(folder.path(), name, &after);
        let output = load(folder.path(), &["load", "report", &first, &second]);
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told).into_owned();
        assert_eq!(output.status.code(), Some(code), "{name}: {told}");
        assert!(told.contains(message), "{name}: {told}");
    };
    let times = |report: &mut Value, factor: f64| {
        for second in report["series"].as_array_mut().unwrap() {
            for bucket in second["histogram"].as_array_mut().unwrap() {
                let micros = bucket[0].as_f64().unwrap() * factor;
                bucket[0] = (micros as u64).into();
            }
        }
    };
    ends("same.json", &|_| {}, 0, "no difference");
    ends("slower.json", &|own| times(own, 1.5), 1, "**regressed**");
    ends("faster.json", &|own| times(own, 0.5), 0, "improved");
    ends(
        "scenario.json",
        &|own| own["scenario"] = "another".into(),
        2,
        "scenario `own` and scenario `another`",
    );
    ends(
        "machine.json",
        &|own| own["machine"]["processor"] = "another".into(),
        2,
        "processor `another`",
    );
    ends(
        "invalid.json",
        &|own| own["verdict"]["reasons"] = json!(["the generator was late"]),
        2,
        "INVALID: the generator was late",
    );
}

#[test]
fn a_baseline_of_something_else_is_refused_before_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let own = report(folder.path());
    let baselines = folder.path().join(".touchstone-load/baselines");
    std::fs::create_dir_all(&baselines).unwrap();
    let refused = |change: &dyn Fn(&mut Value), message: &str| {
        let mut kept = own.clone();
        change(&mut kept);
        std::fs::write(baselines.join("main.json"), json!([kept]).to_string()).unwrap();
        // Nobody listens there: whoever got as far as asking would end with 4.
        let output = load(
            folder.path(),
            &[
                "load",
                "run",
                "own.toml",
                "--compare",
                "main",
                "--no-live",
                "--target",
                "http://127.0.0.1:9",
            ],
        );
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (
            output.status.code() == Some(2) && told.contains(message),
            told,
        )
    };
    let (is_refused, told) = refused(
        &|kept| kept["scenario"] = "another".into(),
        "scenario `another`",
    );
    assert!(is_refused, "{told}");
    let (is_refused, told) = refused(
        &|kept| kept["machine"]["cores"] = "1000".into(),
        "cores `1000`",
    );
    assert!(is_refused, "{told}");
    let (is_refused, told) = refused(&|_| {}, "");
    assert!(!is_refused, "the same is compared with the same: {told}");
}

/// A live run of fifteen seconds: its exit code and what it told.
fn live(folder: &Path, url: &str, path: &str, more: &[&str]) -> (i32, String) {
    let file = crate::workers::scenario(folder, 15);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("/steady", path)).unwrap();
    let common = ["load", "run", "own.toml", "--no-live", "--target", url];
    let output = load(folder, &[&common[..], more].concat());
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.code().unwrap(), told)
}

/// The machine decides whether these runs are VALID; what the command makes of either is asked here, and
/// that it finds differences in runs which are is asked where their reports are written by hand.
#[test]
fn a_live_run_is_kept_and_compared_if_and_only_if_it_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let url = crate::workers::probe_url();
    let run = |path: &str, more: &[&str]| live(folder.path(), &url, path, more);
    let kept = |name: &str| {
        let file = format!(".touchstone-load/baselines/{name}.json");
        let text = std::fs::read(folder.path().join(file)).ok()?;
        Some(serde_json::from_slice::<Vec<Value>>(&text).unwrap())
    };
    let refusal = "no baseline was saved and nothing compared: the run is INVALID";
    let (code, told) = run("/slow-body", &["--save-baseline", "own"]);
    let is_valid = !told.contains("INVALID");
    assert_eq!(code, if is_valid { 0 } else { 3 }, "{told}");
    assert_eq!(told.contains(refusal), !is_valid, "{told}");
    assert_eq!(
        kept("own").map_or(0, |runs| runs.len()),
        usize::from(is_valid)
    );

    // The same run as a baseline, whatever the verdict was: a real report is compared with a real run.
    let mut written = std::fs::read_dir(folder.path().join("load-reports")).unwrap();
    let written = written.find_map(|file| {
        let path = file.unwrap().path();
        // Beside the report of that ending stands k6's summary.
        let is_report = path.extension().is_some_and(|end| end == "json")
            && !path.to_str().unwrap().ends_with(".k6.json");
        is_report.then_some(path)
    });
    let text = std::fs::read(written.unwrap()).unwrap();
    let mut before: Value = serde_json::from_slice(&text).unwrap();
    before["verdict"]["reasons"] = json!([]);
    let baselines = folder.path().join(".touchstone-load/baselines");
    std::fs::create_dir_all(&baselines).unwrap();
    std::fs::write(baselines.join("before.json"), json!([before]).to_string()).unwrap();
    // 150 ms before, 200 ms now: the objectives hold.
    let more = ["--compare", "before", "--save-baseline", "after"];
    let (code, told) = run("/stream", &more);
    let is_compared = told.contains("### Load scenario `own`: ");
    let is_worse = told.contains("### Load scenario `own`: **regressed**");
    let is_valid_too = !told.contains("INVALID");
    assert_eq!(is_compared, is_valid_too, "{told}");
    assert_eq!(told.contains(refusal), !is_valid_too, "{told}");
    let expected = match (is_valid_too, is_worse) {
        (false, _) => 3,
        (true, true) => 1,
        (true, false) => 0,
    };
    assert_eq!(code, expected, "{told}");
    assert!(is_worse || !(is_valid && is_valid_too), "{told}");
    assert_eq!(kept("after").is_some(), is_valid_too);
    assert_eq!(kept("before").unwrap().len(), 1);
}
