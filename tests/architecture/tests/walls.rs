//! Checks the rules of the tree from `cargo metadata` and from the sources.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Longest source file in lines.
const MAX_LINES: usize = 600;
/// Longest `lib.rs` of a service.
const MAX_SERVICE_LIB_LINES: usize = 120;

/// Shared crates by layer. A crate sees its own layer and the ones below; within a layer the
/// arrows of Cargo forbid circles.
const LAYERS: &[(&str, u8)] = &[
    ("types", 0),
    ("error", 0),
    ("text", 0),
    ("simulated-model", 0),
    ("api", 1),
    ("config", 1),
    ("telemetry", 1),
    ("lifecycle", 1),
    ("identity", 1),
    ("web", 2),
    ("client", 2),
    ("store", 2),
    ("events", 2),
    ("cache", 2),
    ("resilience", 2),
    ("faults", 2),
    ("testing", 3),
    ("test-services", 3),
    ("eval", 3),
    ("load", 3),
    ("telegram-simulator", 3),
    ("stack", 9),
];
const SERVICE_LAYER: u8 = 4;
const TOP_LAYER: u8 = 10;

/// Crates of drivers and frameworks, and who alone may depend on them.
const FENCES: &[(&str, &[&str])] = &[
    ("redis", &["cache"]),
    ("rdkafka", &["events"]),
    ("jsonwebtoken", &["identity"]),
    ("http-cache-semantics", &["api-gateway"]),
    (
        "sqlx",
        &[
            "store",
            "auth",
            "document",
            "vector",
            "generation",
            "analytics",
            "telegram",
            "test-services",
            "bench",
        ],
    ),
    ("qdrant-client", &["vector"]),
    ("clickhouse", &["analytics"]),
    (
        "grammers-client",
        &["telegram", "telegram-simulator", "bench-telegram"],
    ),
    (
        "grammers-mtsender",
        &["telegram", "telegram-simulator", "bench-telegram"],
    ),
    ("candle-core", &["model"]),
    ("candle-nn", &["model"]),
    ("tokenizers", &["model"]),
    ("rust-stemmers", &["text"]),
    ("argon2", &["auth"]),
    ("pdf-extract", &["document"]),
];

/// Read once: every call of Cargo takes a while.
static METADATA: LazyLock<Metadata> =
    LazyLock::new(|| MetadataCommand::new().no_deps().exec().unwrap());

fn metadata() -> &'static Metadata {
    &METADATA
}

fn root() -> PathBuf {
    metadata().workspace_root.clone().into()
}

fn short(package: &Package) -> &str {
    package.name.strip_prefix("touchstone-").unwrap()
}

fn folder(package: &Package) -> PathBuf {
    package.manifest_path.parent().unwrap().into()
}

fn layer(package: &Package) -> u8 {
    let name = short(package);
    if let Some((_, layer)) = LAYERS.iter().find(|(known, _)| *known == name) {
        return *layer;
    }
    if folder(package).starts_with(root().join("services")) {
        SERVICE_LAYER
    } else {
        TOP_LAYER
    }
}

/// Every source file of a package, tests included.
fn sources(package: &Package) -> Vec<PathBuf> {
    let mut files = Vec::new();
    walk(&folder(package), &mut files);
    files
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

fn assert_none(what: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{what}:\n  {}", breaches.join("\n  "));
}

#[test]
fn arrows_point_down_only() {
    let metadata = metadata();
    let layers: BTreeMap<&str, u8> = metadata
        .packages
        .iter()
        .map(|package| (package.name.as_str(), layer(package)))
        .collect();
    let mut breaches = Vec::new();
    for package in &metadata.packages {
        for dependency in &package.dependencies {
            let Some(&below) = layers.get(dependency.name.as_str()) else {
                continue;
            };
            let own = layer(package);
            let for_tests = dependency.kind == DependencyKind::Development;
            let service_to_service = own == SERVICE_LAYER && below == SERVICE_LAYER;
            let upward = below > own && !(for_tests && below <= 3);
            if upward || service_to_service {
                breaches.push(format!("{} -> {}", package.name, dependency.name));
            }
        }
    }
    assert_none("dependencies that break the layers", &breaches);
}

#[test]
fn testing_is_only_for_tests() {
    let mut breaches = Vec::new();
    for package in metadata()
        .packages
        .iter()
        .filter(|package| layer(package) <= SERVICE_LAYER)
    {
        for dependency in &package.dependencies {
            let only_tests = dependency.kind == DependencyKind::Development;
            if dependency.name == "touchstone-testing" && !only_tests {
                breaches.push(package.name.to_string());
            }
        }
    }
    assert_none("crates that ship test fixtures", &breaches);
}

#[test]
fn drivers_stay_behind_their_fences() {
    let mut breaches = Vec::new();
    for package in &metadata().packages {
        for dependency in &package.dependencies {
            let fence = FENCES.iter().find(|(driver, _)| *driver == dependency.name);
            let Some((driver, allowed)) = fence else {
                continue;
            };
            let for_tests = dependency.kind == DependencyKind::Development;
            if !for_tests && !allowed.contains(&short(package)) {
                breaches.push(format!("{} uses {driver}", package.name));
            }
        }
    }
    assert_none("drivers outside of their fence", &breaches);
}

#[test]
fn sql_is_written_in_store_modules_only() {
    let mut breaches = Vec::new();
    for package in metadata()
        .packages
        .iter()
        .filter(|package| layer(package) == SERVICE_LAYER)
    {
        for file in sources(package)
            .iter()
            .filter(|file| !file.components().any(|part| part.as_os_str() == "store"))
        {
            let text = std::fs::read_to_string(file).unwrap();
            if text.contains("sqlx::query") {
                breaches.push(file.display().to_string());
            }
        }
    }
    assert_none("SQL outside of `store/`", &breaches);
}

/// `touchstone explain` knows every statement on PostgreSQL: they are declared by `statements!`, and
/// queries are made of its constants only.
#[test]
fn statements_on_postgres_are_declared_where_explain_finds_them() {
    let mut breaches = Vec::new();
    let of_stores = |file: &PathBuf| {
        let path = file.to_string_lossy();
        let tests = path.contains("/tests/") || path.contains("/contract");
        path.contains("/store/postgres") && !tests
    };
    for package in metadata()
        .packages
        .iter()
        .filter(|package| layer(package) == SERVICE_LAYER)
    {
        for file in sources(package).iter().filter(|file| of_stores(file)) {
            let text = std::fs::read_to_string(file).unwrap();
            let mut breach = |what: &str| breaches.push(format!("{}: {what}", file.display()));
            if text.contains("QueryBuilder") || text.contains("AssertSqlSafe") {
                breach("puts a statement together");
            }
            for (at, _) in text.match_indices("sqlx::query") {
                let call = &text[at..(at + 120).min(text.len())];
                let argument = call
                    .split_once('(')
                    .map_or("", |(_, rest)| rest.trim_start());
                if argument.starts_with(['"', 'r', '&']) && !argument.starts_with("row") {
                    breach("asks with a statement that is written in place");
                }
            }
            let declared = text.find("statements! {").unwrap_or(text.len());
            for verb in ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE "] {
                let outside = format!(": &str = \"{verb}");
                if text[..declared].contains(&outside) {
                    breach("declares a statement outside of `statements!`");
                }
            }
        }
    }
    assert_none("statements that `touchstone explain` cannot see", &breaches);
}

/// Whoever reads a clock or starts a task cannot be replayed.
#[test]
fn policies_read_no_clock_and_start_no_task() {
    const FOREIGN: [&str; 4] = ["tokio::", "Instant::now", "SystemTime", "rand::"];
    let source = root().join("shared/resilience/src");
    let mut files = Vec::new();
    walk(&source, &mut files);
    // The layers around the policies, and the clock that they are told the time by.
    let outside = ["layers", "time.rs", "upstream.rs"].map(|name| source.join(name));
    files.retain(|file| !outside.iter().any(|path| file.starts_with(path)));
    assert!(files.len() > 10, "the policies are where they were");
    let mut breaches = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for foreign in FOREIGN.iter().filter(|foreign| text.contains(**foreign)) {
            breaches.push(format!("{} uses {foreign}", file.display()));
        }
    }
    assert_none("policies that reach outside", &breaches);
}

#[test]
fn domain_modules_know_no_framework() {
    const FOREIGN: [&str; 8] = [
        "axum::",
        "sqlx::",
        "tokio::",
        "serde_json::",
        "reqwest::",
        "std::env",
        "SystemTime::now",
        "touchstone_client::",
    ];
    let mut breaches = Vec::new();
    for package in metadata()
        .packages
        .iter()
        .filter(|package| layer(package) == SERVICE_LAYER)
    {
        let domain = folder(package).join("src/domain");
        for file in sources(package)
            .iter()
            .filter(|file| file.starts_with(&domain))
        {
            let text = std::fs::read_to_string(file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for foreign in FOREIGN.iter().filter(|foreign| code.contains(**foreign)) {
                breaches.push(format!("{} uses {foreign}", file.display()));
            }
        }
    }
    assert_none("domain modules that reach outside", &breaches);
}

#[test]
fn files_are_short() {
    let mut breaches = Vec::new();
    for package in &metadata().packages {
        for file in sources(package) {
            let lines = std::fs::read_to_string(&file).unwrap().lines().count();
            let service_lib = layer(package) == SERVICE_LAYER && file.ends_with("src/lib.rs");
            let limit = if service_lib {
                MAX_SERVICE_LIB_LINES
            } else {
                MAX_LINES
            };
            if lines > limit {
                breaches.push(format!(
                    "{} has {lines} lines, at most {limit}",
                    file.display()
                ));
            }
        }
    }
    assert_none("files that are too long", &breaches);
}

#[test]
fn every_crate_inherits_lints_and_pinned_versions() {
    let mut breaches = Vec::new();
    for package in &metadata().packages {
        let manifest: toml::Table = std::fs::read_to_string(&package.manifest_path)
            .unwrap()
            .parse()
            .unwrap();
        let inherits = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"));
        if inherits.and_then(toml::Value::as_bool) != Some(true) {
            breaches.push(format!("{}: lints", package.name));
        }
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(table).and_then(toml::Value::as_table) else {
                continue;
            };
            for (name, dependency) in dependencies {
                if dependency.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                    breaches.push(format!("{}: {name} has a version of its own", package.name));
                }
            }
        }
    }
    assert_none("manifests that do not inherit", &breaches);
}

#[test]
fn services_have_one_shape() {
    let mut breaches = Vec::new();
    for package in metadata()
        .packages
        .iter()
        .filter(|package| layer(package) == SERVICE_LAYER)
    {
        for part in [
            "README.md",
            "config.default.toml",
            "src/config.rs",
            "src/routes/mod.rs",
            "src/error.rs",
            "src/metrics.rs",
        ] {
            if !folder(package).join(part).exists() {
                breaches.push(format!("{} lacks {part}", package.name));
            }
        }
    }
    assert_none("services without a part of the shape", &breaches);
}

#[test]
fn error_codes_stand_in_their_readme() {
    let mut breaches = Vec::new();
    for package in metadata()
        .packages
        .iter()
        .filter(|package| layer(package) == SERVICE_LAYER)
    {
        let readme = std::fs::read_to_string(folder(package).join("README.md")).unwrap_or_default();
        let prefix = format!("\"{}.", short(package));
        let codes: BTreeSet<String> = sources(package)
            .iter()
            .filter(|file| file.ends_with("src/error.rs"))
            .flat_map(|file| codes_in(&std::fs::read_to_string(file).unwrap(), &prefix))
            .collect();
        for code in codes.iter().filter(|code| !readme.contains(code.as_str())) {
            breaches.push(format!("{}: {code}", package.name));
        }
    }
    assert_none("error codes without a row in the README", &breaches);
}

/// Literals that begin with the prefix, e.g. `"auth.busy"`.
fn codes_in(text: &str, prefix: &str) -> Vec<String> {
    text.match_indices(prefix)
        .filter_map(|(at, _)| text[at + 1..].split('"').next().map(str::to_owned))
        .collect()
}

#[test]
fn no_bypass_no_machine_paths_nothing_unfinished() {
    // Put together so that this file does not contain them.
    let words = [
        ["test-load-", "token-"].concat(),
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
        ["#[ig", "nore"].concat(),
        ["DISABLE_", "AUTH"].concat(),
        ["/wo", "rk/"].concat(),
    ];
    let mut breaches = Vec::new();
    for package in &metadata().packages {
        let production = folder(package).join("src");
        for file in sources(package)
            .iter()
            .filter(|file| file.starts_with(&production))
        {
            let text = std::fs::read_to_string(file).unwrap();
            for word in words.iter().filter(|word| text.contains(word.as_str())) {
                breaches.push(format!("{} contains {word}", file.display()));
            }
        }
    }
    assert_none("sources with what must not be there", &breaches);
}
