//! What stands beside the code and has to agree with it: the environment's reference, compose files,
//! dashboards and alerts; and what the binary says of the database that it is given.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod compose;
mod dashboards;
mod database;
mod environment;
mod patience;
mod servers;
mod tls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file of the repository.
fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Names and defaults in `.env.example`; every one is commented out.
fn reference() -> BTreeMap<String, String> {
    let text = read(".env.example");
    let names = text.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix('#')?.split_once('=')?;
        is_name(name).then(|| (name.to_owned(), value.to_owned()))
    });
    let names: BTreeMap<_, _> = names.collect();
    assert!(names.len() > 40, "{names:?}");
    names
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
}

fn assert_none(what: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{what}:\n  {}", breaches.join("\n  "));
}
