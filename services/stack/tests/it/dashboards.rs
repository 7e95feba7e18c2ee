use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{assert_none, read, root};

const DASHBOARDS: &str = "infrastructure/grafana/dashboards";
const RULES: &str = "infrastructure/prometheus/rules.yml";

/// How a metric is declared, and the endings of its series.
const DECLARATIONS: [(&str, &[&str]); 6] = [
    (".counter(", &["_total"]),
    (".counter_by(", &["_total"]),
    (".gauge(", &[""]),
    (".gauge_by(", &[""]),
    (".histogram(", &["_bucket", "_sum", "_count"]),
    (".latency_by(", &["_bucket", "_sum", "_count"]),
];

/// Series by service; those of the shared crates are under "" and belong to any.
fn declared() -> BTreeMap<String, BTreeSet<String>> {
    let mut series: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (folder, shared) in [("services", false), ("shared", true)] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let service = match name.as_str() {
                _ if shared => "",
                "api-gateway" => "gateway",
                name => name,
            };
            let own = series.entry(service.to_owned()).or_default();
            for file in sources(&entry.path().join("src")) {
                collect(&std::fs::read_to_string(file).unwrap(), own);
            }
        }
    }
    series
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

fn collect(code: &str, series: &mut BTreeSet<String>) {
    for (call, endings) in DECLARATIONS {
        for (at, _) in code.match_indices(call) {
            let Some(rest) = code[at + call.len()..].trim_start().strip_prefix('"') else {
                continue;
            };
            let name = rest.split('"').next().unwrap();
            series.extend(endings.iter().map(|ending| format!("{name}{ending}")));
        }
    }
}

/// Words of an expression that are names of our series.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.starts_with("touchstone_") || word.starts_with("process_"))
}

fn expressions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join(DASHBOARDS)).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let dashboard: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(
            dashboard["uid"],
            path.file_stem().unwrap().to_str().unwrap()
        );
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            for target in panel["targets"].as_array().into_iter().flatten() {
                let expression = target["expr"].as_str().unwrap().to_owned();
                found.push((format!("{file}: {title}"), expression));
            }
        }
    }
    let rules: serde_yaml_ng::Value = serde_yaml_ng::from_str(&read(RULES)).unwrap();
    for group in rules["groups"].as_sequence().unwrap() {
        for rule in group["rules"].as_sequence().unwrap() {
            let alert = rule["alert"].as_str().unwrap();
            let expression = rule["expr"].as_str().unwrap().to_owned();
            found.push((format!("rules.yml: {alert}"), expression));
        }
    }
    found
}

#[test]
fn dashboards_and_alerts_name_series_that_the_services_have() {
    let declared = declared();
    let process = read("shared/telemetry/src/process.rs");
    let mut seen = 0;
    let mut breaches = Vec::new();
    for (place, expression) in expressions() {
        for name in names(&expression) {
            seen += 1;
            let known = match name.strip_prefix("touchstone_") {
                None => process.contains(&format!("\"{name}\"")),
                Some(rest) => {
                    let (service, series) = rest.split_once('_').unwrap();
                    [service, ""]
                        .iter()
                        .any(|owner| declared.get(*owner).is_some_and(|all| all.contains(series)))
                }
            };
            if !known {
                breaches.push(format!("{place}: {name}"));
            }
        }
    }
    assert!(seen > 60, "{seen}");
    assert_none("series that no service has", &breaches);
}

#[test]
fn prometheus_asks_every_service() {
    for (file, of) in [
        ("prometheus.yml", ""),
        ("prometheus.host-network.yml", "127.0.0.1:"),
    ] {
        let text = read(&format!("infrastructure/prometheus/{file}"));
        for service in touchstone_stack::Service::ALL {
            assert!(
                text.contains(&format!("job_name: {service}")),
                "{file}: {service}"
            );
        }
        assert!(text.contains(of));
    }
}
