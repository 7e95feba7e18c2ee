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

/// A live run of fifteen seconds; what it told, unless this machine cannot measure at the moment.
fn live(folder: &Path, url: &str, path: &str, more: &[&str]) -> Option<(i32, String)> {
    let file = crate::workers::scenario(folder, 15);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("/steady", path)).unwrap();
    let common = ["load", "run", "own.toml", "--no-live", "--target", url];
    let output = load(folder, &[&common[..], more].concat());
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let code = output.status.code().unwrap();
    if code == 3 {
        eprintln!("SKIPPED: this machine cannot measure now: {told}");
        return None;
    }
    Some((code, told))
}

#[test]
fn live_runs_are_kept_as_baselines_and_compared_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let url = crate::workers::probe_url();
    let run = |path: &str, more: &[&str]| live(folder.path(), &url, path, more);
    let Some((code, told)) = run("/slow-body", &["--save-baseline", "main"]) else {
        return;
    };
    assert_eq!(code, 0, "{told}");
    let kept = folder.path().join(".touchstone-load/baselines/main.json");
    let reports: Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
    assert_eq!(reports.as_array().unwrap().len(), 1);
    // 150 ms before, 200 ms after: the objectives hold, and it is a regression.
    let slower = ["--compare", "main", "--save-baseline", "slower"];
    let Some((code, told)) = run("/stream", &slower) else {
        return;
    };
    assert!(code == 1 && told.contains("**regressed**"), "{told}");
    let Some((code, told)) = run(
        "/steady",
        &["--compare", "slower", "--save-baseline", "main"],
    ) else {
        return;
    };
    assert!(code == 0 && told.contains("improved"), "{told}");
    let reports: Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
    assert_eq!(reports.as_array().unwrap().len(), 2, "runs are added");
    // Another scenario, then another machine: nothing is sent.
    let file = crate::workers::scenario(folder.path(), 15);
    let text = std::fs::read_to_string(&file).unwrap();
    let other = folder.path().join("other.toml");
    std::fs::write(other, text.replace("name = \"own\"", "name = \"other\"")).unwrap();
    let refused = |file: &str, message: &str| {
        let common = [
            "load",
            "run",
            file,
            "--no-live",
            "--target",
            "http://127.0.0.1:9",
        ];
        let output = load(
            folder.path(),
            &[&common[..], &["--compare", "main"]].concat(),
        );
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(message), "{told}");
    };
    refused("other.toml", "scenario `own` and scenario `other`");
    let mut reports = reports;
    reports[1]["machine"]["processor"] = "another".into();
    std::fs::write(&kept, reports.to_string()).unwrap();
    refused("own.toml", "processor `another`");
}
