//! What the binary says about the database that it is given.

use std::process::{Command, Output, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// Longest run of a command that should end by itself.
const PATIENCE: Duration = Duration::from_mins(2);

/// Runs the binary in an empty folder with this environment.
pub fn touchstone(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_touchstone"));
    command
        .args(arguments)
        .current_dir(folder.path())
        .env_clear()
        .env(
            "SERVICE_KEY",
            "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978",
        )
        .env("STARTUP_WAIT", "1s")
        .env("GATEWAY_ADMIN_PORT", "0");
    for service in [
        "AUTH",
        "DOCUMENT",
        "GENERATION",
        "GATEWAY",
        "VECTOR",
        "TELEGRAM",
        "ANALYTICS",
    ] {
        command.env(format!("{service}_PORT"), "0");
    }
    for (name, value) in environment {
        command.env(name, value);
    }
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (id, (ended, over)) = (child.id().to_string(), std::sync::mpsc::channel::<()>());
    // What makes no mistake would serve for ever.
    let watch = std::thread::spawn(move || {
        if over.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-KILL", &id]).status();
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(ended);
    watch.join().unwrap();
    output
}

const SERVE: [&str; 4] = ["serve", "auth", "document", "generation"];

pub fn mistakes(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("- "))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn every_mistake_is_one_line_with_its_variable_and_without_the_secret() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let database = url.rsplit('/').next().unwrap();
    let (front, place) = url.split_once('@').unwrap();
    let user = front.rsplit('/').next().unwrap().split(':').next().unwrap();
    let wrong_password = format!("postgres://{user}:hunter2@{place}");
    let nobody = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let cases = [
        (wrong_password.as_str(), "refuses the password"),
        (
            &url.replace(database, "missing"),
            "has no database `missing`",
        ),
        (&format!("{url}?sslmode=require"), "does not offer it"),
        (
            &format!("postgres://me:hunter2@{nobody}/db"),
            "nothing listens on",
        ),
        (
            "postgres://me:9f8e7d6c5b4a39281706@no-such-host.invalid/db",
            "cannot be found",
        ),
        (
            "mysql://me:hunter2@127.0.0.1/db",
            "must begin with `postgres://`",
        ),
        ("postgres://me:hunter2@127.0.0.1", "names no database"),
    ];
    for (url, expected) in cases {
        let output = touchstone(&SERVE, &[("DATABASE_URL", url)]);
        let mistakes = mistakes(&output);
        assert_eq!(mistakes.len(), 1, "{url}: {mistakes:?}");
        assert!(mistakes[0].contains(expected), "{mistakes:?}");
        assert!(mistakes[0].contains("DATABASE_URL"), "{mistakes:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
    }
    // Two databases, two mistakes, told together.
    let output = touchstone(
        &SERVE,
        &[
            ("DATABASE_URL", &wrong_password),
            ("TOUCHSTONE_AUTH__STORE", &url.replace(database, "missing")),
        ],
    );
    let both = mistakes(&output);
    assert_eq!(both.len(), 2, "{both:?}");
    assert!(
        both.iter().any(|line| line.contains("auth.store")),
        "{both:?}"
    );
}

#[tokio::test]
async fn an_older_schema_is_refused_until_it_is_migrated() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let environment = [("DATABASE_URL", url.as_str())];
    let refused = [&SERVE[..], &["--no-migrate"]].concat();
    let older = mistakes(&touchstone(&refused, &environment));
    assert_eq!(older.len(), 3, "{older:?}");
    for (line, schema) in older.iter().zip(["auth", "document", "generation"]) {
        assert!(
            line.contains(&format!("the schema `{schema}` is older")),
            "{line}"
        );
        assert!(line.contains("touchstone migrate"), "{line}");
    }
    let check = touchstone(&["migrate", "--check", "--json"], &environment);
    assert_eq!(check.status.code(), Some(1));
    let told: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    assert!(!told[0]["pending"].as_array().unwrap().is_empty());
    let migrated = touchstone(&["migrate"], &environment);
    assert!(migrated.status.success(), "{migrated:?}");
    let check = touchstone(&["migrate", "--check"], &environment);
    assert!(check.status.success(), "{check:?}");
}

#[tokio::test]
async fn explain_measures_every_statement_and_leaves_nothing() {
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let environment = [("DATABASE_URL", url.as_str())];
    let output = touchstone(&["explain", "--rows", "20000", "--json"], &environment);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{told:#}");
    let services: Vec<_> = told.as_array().unwrap().iter().collect();
    assert_eq!(services.len(), 4);
    for service in services {
        let statements = service["statements"].as_array().unwrap();
        assert!(statements.len() > 5);
        assert!(statements.iter().all(|it| it["milliseconds"].is_number()));
    }
    let without = touchstone(&["explain"], &[]);
    assert_eq!(without.status.code(), Some(2));
    let check = touchstone(&["migrate", "--check"], &environment);
    assert_eq!(
        check.status.code(),
        Some(1),
        "the services' own schemas are untouched"
    );
}
