use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Kind, Recipe, environment, in_docker, probe, published};
use crate::find;
use crate::process::Program;

const IMAGE: &str = "apache/kafka:4.1.0";
/// Names the broker's jars for Maven.
const POM: &str = include_str!("../../kafka/pom.xml");
const CLUSTER: &str = "AAAAAAAAAAAAAAAAAAAAAQ";

fn recipe(port: u16, program: Program) -> Recipe {
    Recipe {
        url: format!("kafka://127.0.0.1:{port}"),
        port,
        files: Vec::new(),
        prepare: Vec::new(),
        program,
        answers,
        flush: None,
        container: None,
    }
}

/// What a single node needs, whoever starts it.
fn properties(port: u16, controller: u16, host: &str) -> Vec<(&'static str, String)> {
    let own = |text: &str| text.to_owned();
    vec![
        ("process.roles", own("broker,controller")),
        ("node.id", own("1")),
        (
            "controller.quorum.voters",
            format!("1@127.0.0.1:{controller}"),
        ),
        (
            "listeners",
            format!("PLAINTEXT://{host}:{port},CONTROLLER://127.0.0.1:{controller}"),
        ),
        (
            "advertised.listeners",
            format!("PLAINTEXT://127.0.0.1:{port}"),
        ),
        ("controller.listener.names", own("CONTROLLER")),
        (
            "listener.security.protocol.map",
            own("PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ),
        ("offsets.topic.replication.factor", own("1")),
        ("offsets.topic.num.partitions", own("4")),
        ("transaction.state.log.replication.factor", own("1")),
        ("transaction.state.log.min.isr", own("1")),
        ("share.coordinator.state.topic.replication.factor", own("1")),
        ("share.coordinator.state.topic.min.isr", own("1")),
        ("group.initial.rebalance.delay.ms", own("0")),
        ("auto.create.topics.enable", own("false")),
        // A killed broker is let in again only after its last session.
        ("broker.session.timeout.ms", own("2000")),
        ("broker.heartbeat.interval.ms", own("500")),
        ("num.network.threads", own("2")),
        ("num.io.threads", own("2")),
        ("log.cleaner.dedupe.buffer.size", own("4194304")),
    ]
}

pub fn local([port, controller]: [u16; 2]) -> Result<Recipe, String> {
    let java = match touchstone_config::variable("JAVA_HOME") {
        Some(home) => find::program("java", &[PathBuf::from(home).join("bin")]),
        None => find::program("java", &[]),
    };
    let java = java.ok_or("there is no program `java`")?;
    let jars = jars()?;
    let mut lines = vec!["log.dirs={directory}/data".to_owned()];
    for (name, value) in properties(port, controller, "127.0.0.1") {
        lines.push(format!("{name}={value}"));
    }
    let class_path = format!("{}/*", jars.display());
    let main = |arguments: &[&str]| {
        let mut all = vec![
            "-Xms64m",
            "-Xmx384m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            &class_path,
        ];
        all.extend(arguments);
        Program::new(&java, &all)
    };
    let format = main(&[
        "kafka.tools.StorageTool",
        "format",
        "-t",
        CLUSTER,
        "-c",
        "server.properties",
    ]);
    Ok(Recipe {
        files: vec![("server.properties", lines.join("\n"))],
        prepare: vec![format],
        ..recipe(port, main(&["kafka.Kafka", "server.properties"]))
    })
}

pub fn container([port, controller]: [u16; 2]) -> Recipe {
    let mut options = published(port, port).to_vec();
    let named: Vec<_> = properties(port, controller, "0.0.0.0")
        .into_iter()
        .map(|(name, value)| {
            (
                format!("KAFKA_{}", name.to_uppercase().replace('.', "_")),
                value,
            )
        })
        .collect();
    let pairs: Vec<_> = named
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    options.extend(environment(&pairs));
    let (program, container) = in_docker(Kind::Kafka, IMAGE, &options, &[]);
    Recipe {
        container,
        ..recipe(port, program)
    }
}

/// The directory of the broker's jars: an installation's, else what Maven fetched once.
fn jars() -> Result<PathBuf, String> {
    for variable in ["TOUCHSTONE_KAFKA_HOME", "KAFKA_HOME"] {
        if let Some(home) = touchstone_config::variable(variable) {
            let jars = PathBuf::from(home).join("libs");
            return if jars.is_dir() {
                Ok(jars)
            } else {
                Err(format!("{variable} has no directory `libs`"))
            };
        }
    }
    let cache = find::cache();
    let jars = cache.join("kafka-4.1.0");
    if jars.is_dir() {
        return Ok(jars);
    }
    let maven = find::program("mvn", &[])
        .ok_or("neither KAFKA_HOME is set nor is there a program `mvn` to fetch the broker with")?;
    fetch(&maven, &cache, &jars)
}

fn fetch(maven: &Path, cache: &Path, jars: &Path) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", cache.display());
    std::fs::create_dir_all(cache).map_err(failed)?;
    // Test processes start at the same time; one fetches.
    let lock = std::fs::File::create(cache.join("kafka.lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    if jars.is_dir() {
        return Ok(jars.to_path_buf());
    }
    crate::say("fetching the jars of Kafka with Maven, once");
    let project = tempfile::tempdir_in(cache).map_err(failed)?;
    std::fs::write(project.path().join("pom.xml"), POM).map_err(failed)?;
    let output = Command::new(maven)
        .args([
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DoutputDirectory=libs",
        ])
        .current_dir(project.path())
        .stdin(Stdio::null())
        .output()
        .map_err(failed)?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stdout);
        let first = words.lines().next().unwrap_or_default();
        return Err(format!("Maven cannot fetch the jars of Kafka: {first}"));
    }
    std::fs::rename(project.path().join("libs"), jars).map_err(failed)?;
    Ok(jars.to_path_buf())
}

/// Asks for the versions of the protocol, which a broker answers once it serves.
fn answers(port: u16) -> bool {
    // Length, ApiVersions, version 0, correlation id 7, no client id.
    let request = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
    probe::ask(port, &request).is_ok_and(|answer| answer.get(4..10) == Some(&[0, 0, 0, 7, 0, 0]))
}
