use serde_yaml_ng::Value;
use touchstone_stack::Service;

use crate::{assert_none, is_name, read};

/// The base and everything that goes on top of it.
pub(crate) const OVERLAYS: [&str; 7] = [
    BASE,
    "docker-compose.override.yml",
    "docker-compose.host-network.yml",
    "docker-compose.optimized-network.yml",
    "docker-compose.prod.yml",
    "docker-compose.secrets.yml",
    "docker-compose.small.yml",
];
const BASE: &str = "docker-compose.yml";

fn parse(file: &str) -> Value {
    let mut value: Value = serde_yaml_ng::from_str(&read(file)).unwrap();
    // What is merged may merge in turn.
    value.apply_merge().unwrap();
    value.apply_merge().unwrap();
    value
}

fn services(file: &str) -> Vec<(String, Value)> {
    let value = parse(file);
    let services = value["services"].as_mapping().unwrap();
    services
        .iter()
        .map(|(name, service)| (name.as_str().unwrap().to_owned(), service.clone()))
        .collect()
}

/// Variables that a file asks for, with the default if it gives one.
pub(crate) fn interpolated(file: &str) -> Vec<(String, Option<String>)> {
    let text = read(file);
    let mut found = Vec::new();
    for (at, _) in text.match_indices("${") {
        // `$${` is a dollar for the shell in the container.
        if text[..at].ends_with('$') {
            continue;
        }
        let rest = &text[at + 2..];
        let end = rest
            .find(|letter: char| !is_name(&letter.to_string()))
            .unwrap();
        let default = rest[end..]
            .strip_prefix(":-")
            .or_else(|| rest[end..].strip_prefix('-'))
            .filter(|default| !default.starts_with("${"))
            .and_then(|default| default.split('}').next())
            .filter(|default| !default.contains("${"))
            .map(str::to_owned);
        found.push((rest[..end].to_owned(), default));
    }
    found
}

/// `(service, variable)` of every container that runs our image.
pub(crate) fn variables_of_our_containers(file: &str) -> Vec<(String, String)> {
    let ours = ours();
    services(file)
        .into_iter()
        .filter(|(name, _)| ours.contains(name))
        .flat_map(|(service, value)| {
            let environment = value["environment"].as_mapping().cloned();
            let names: Vec<_> = environment.unwrap_or_default().into_iter().collect();
            names
                .into_iter()
                .map(move |(name, _)| (service.clone(), name.as_str().unwrap().to_owned()))
        })
        .collect()
}

fn ours() -> Vec<String> {
    services(BASE)
        .into_iter()
        .filter(|(_, value)| text(&value["image"]).starts_with("${TOUCHSTONE_IMAGE"))
        .map(|(name, _)| name)
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> Vec<String> {
    let items = value.as_sequence().cloned().unwrap_or_default();
    items.iter().map(text).collect()
}

#[test]
fn every_service_of_the_stack_has_a_container_that_asks_for_its_own_health() {
    let containers = services(BASE);
    let mut breaches = Vec::new();
    for service in Service::ALL {
        let Some((_, container)) = containers.iter().find(|(name, _)| name == service.name())
        else {
            breaches.push(format!("{service} has none"));
            continue;
        };
        if list(&container["command"]) != ["serve", service.name()] {
            breaches.push(format!("{service} serves something else"));
        }
        let check = list(&container["healthcheck"]["test"]);
        if check != ["CMD", "touchstone", "health", service.name()] {
            breaches.push(format!("{service} asks {check:?}"));
        }
    }
    assert_none("containers of the services", &breaches);
}

#[test]
fn containers_can_do_no_more_than_they_need() {
    let mut breaches = Vec::new();
    let mut seen = 0;
    for (name, value) in services(BASE).into_iter().chain(
        services("docker-compose.prod.yml")
            .into_iter()
            .filter(|(name, _)| name == "nginx"),
    ) {
        seen += 1;
        let mut check = |holds: bool, what: &str| {
            if !holds {
                breaches.push(format!("{name} {what}"));
            }
        };
        check(list(&value["cap_drop"]) == ["ALL"], "keeps capabilities");
        let security = list(&value["security_opt"]);
        check(
            security == ["no-new-privileges:true"],
            "can gain privileges",
        );
        // ClickHouse writes its users' configuration beside ours.
        let read_only = value["read_only"].as_bool() == Some(true);
        check(read_only || name == "clickhouse", "can write its root");
        let limits = &value["deploy"]["resources"]["limits"];
        for limit in ["cpus", "memory", "pids"] {
            check(
                !limits[limit].is_null(),
                &format!("has no limit of {limit}"),
            );
        }
        let health = &value["healthcheck"];
        check(
            !health["test"].is_null() || name == "migrate",
            "is never asked for its health",
        );
        let options = &value["logging"]["options"];
        check(
            !options["max-size"].is_null(),
            "fills the disk with its log",
        );
        check(value["privileged"].is_null(), "is privileged");
        if text(&value["image"]).starts_with("${TOUCHSTONE_IMAGE") {
            check(
                text(&value["user"]) == "10001:10001",
                "runs as somebody else",
            );
        }
    }
    assert!(seen > Service::ALL.len() + 5, "{seen}");
    assert_none("containers that can do too much", &breaches);
}

#[test]
fn ports_are_published_on_loopback_only() {
    let mut breaches = Vec::new();
    let mut seen = 0;
    for file in OVERLAYS {
        for (name, value) in services(file) {
            for port in list(&value["ports"]) {
                seen += 1;
                let loopback =
                    port.starts_with("127.0.0.1:") || port.starts_with("${NGINX_BIND:-127.0.0.1}:");
                if !loopback {
                    breaches.push(format!("{file}: {name}: {port}"));
                }
            }
        }
    }
    assert!(seen > 10, "{seen}");
    assert_none("ports that others can reach", &breaches);
}

#[test]
fn no_file_has_a_secret_or_a_default_for_one() {
    let secret = |name: &str| {
        ["PASSWORD", "_KEY", "SECRET", "TOKEN"]
            .iter()
            .any(|word| name.contains(word))
            && !name.ends_with("_FILE")
            && !name.ends_with("_DIR")
    };
    let mut breaches = Vec::new();
    for file in OVERLAYS {
        for (name, default) in interpolated(file) {
            if secret(&name) && default.is_some_and(|default| !default.is_empty()) {
                breaches.push(format!("{file}: {name} has a default"));
            }
        }
        for (service, value) in services(file) {
            for (name, value) in value["environment"].as_mapping().into_iter().flatten() {
                let (name, value) = (text(name), text(value));
                if secret(&name) && !value.is_empty() && !value.starts_with("${") {
                    breaches.push(format!("{file}: {service}: {name} has a value"));
                }
            }
        }
    }
    for (name, value) in crate::reference() {
        if secret(&name) && !value.is_empty() {
            breaches.push(format!(".env.example: {name} has a value"));
        }
    }
    assert_none("secrets in files of the repository", &breaches);
}
