use std::collections::BTreeSet;

use touchstone_stack::{plain_names, secrets};

use crate::compose::{OVERLAYS, interpolated, variables_of_our_containers};
use crate::{assert_none, reference};

/// Read by commands only, and explained where they are.
const OF_COMMANDS: [&str; 3] = [
    "TOUCHSTONE_URL",
    "TOUCHSTONE_API_KEY",
    "TOUCHSTONE_PASSWORD",
];

fn plain() -> BTreeSet<String> {
    plain_names().into_iter().map(str::to_owned).collect()
}

#[test]
fn every_plain_name_is_explained() {
    let reference = reference();
    let missing: Vec<_> = plain()
        .into_iter()
        .filter(|name| !reference.contains_key(name))
        .collect();
    assert_none("names that .env.example lacks", &missing);
    let secrets = secrets::SECRETS.map(|(name, _)| name.to_owned());
    let missing: Vec<_> = secrets
        .into_iter()
        .filter(|name| !reference.contains_key(name))
        .collect();
    assert_none("secrets that .env.example lacks", &missing);
}

#[test]
fn every_explained_name_is_read_by_something() {
    let mut used = plain();
    for file in OVERLAYS {
        used.extend(interpolated(file).into_iter().map(|(name, _)| name));
    }
    let unused: Vec<_> = reference()
        .into_keys()
        .filter(|name| !used.contains(name) && !OF_COMMANDS.contains(&name.as_str()))
        .collect();
    assert_none("names in .env.example that nothing reads", &unused);
}

#[test]
fn compose_files_ask_for_explained_names_with_the_same_defaults() {
    // Inside and outside of a container these differ: addresses, and what only a container needs.
    let differs = |name: &str| name.ends_with("_URL") || name.ends_with("_BROKERS");
    let own = [
        "PROFILE",
        "LOG_FORMAT",
        "TRUSTED_PROXIES",
        "CLICKHOUSE_USER",
    ];
    let reference = reference();
    let mut breaches = Vec::new();
    for file in OVERLAYS {
        for (name, default) in interpolated(file) {
            match (reference.get(&name), default) {
                (None, _) => breaches.push(format!("{file}: {name} is not in .env.example")),
                (Some(told), Some(default))
                    if !default.is_empty()
                        && *told != default
                        && !differs(&name)
                        && !own.contains(&name.as_str()) =>
                {
                    breaches.push(format!("{file}: {name} is {default}, not {told}"));
                }
                _ => {}
            }
        }
    }
    assert_none("variables of compose files", &breaches);
}

#[test]
fn containers_get_names_that_the_configuration_knows() {
    let plain = plain();
    let mut breaches = Vec::new();
    for file in OVERLAYS {
        for (service, name) in variables_of_our_containers(file) {
            let of_file = name.strip_suffix("_FILE").unwrap_or(&name);
            if !plain.contains(&name) && !plain.contains(of_file) {
                breaches.push(format!("{file}: {service}: {name}"));
            }
        }
    }
    assert_none("variables that no service reads", &breaches);
}
