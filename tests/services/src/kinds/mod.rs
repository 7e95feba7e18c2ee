//! The kinds of servers, and how each is started.

mod clickhouse;
mod kafka;
mod postgres;
mod probe;
mod qdrant;
mod redis;

use std::fmt;

use crate::find;
use crate::process::{self, Program};
use crate::server::Durability;

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// Redis.
    Redis,
    /// Kafka.
    Kafka,
    /// Qdrant.
    Qdrant,
    /// ClickHouse.
    ClickHouse,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Postgres,
        Self::Redis,
        Self::Kafka,
        Self::Qdrant,
        Self::ClickHouse,
    ];

    /// As `TOUCHSTONE_REQUIRE_SERVERS` names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Kafka => "kafka",
            Self::Qdrant => "qdrant",
            Self::ClickHouse => "clickhouse",
        }
    }

    /// The variable that names a server that runs already.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Postgres => "TOUCHSTONE_TEST_POSTGRES_URL",
            Self::Redis => "TOUCHSTONE_TEST_REDIS_URL",
            Self::Kafka => "TOUCHSTONE_TEST_KAFKA_BROKERS",
            Self::Qdrant => "TOUCHSTONE_TEST_QDRANT_URL",
            Self::ClickHouse => "TOUCHSTONE_TEST_CLICKHOUSE_URL",
        }
    }

    /// A value of [`variable`](Self::variable) as a URL: brokers come without a scheme.
    pub(crate) fn with_scheme(self, value: &str) -> String {
        if self == Self::Kafka && !value.contains("://") {
            format!("kafka://{value}")
        } else {
            value.to_owned()
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
            Self::Kafka => "Kafka",
            Self::Qdrant => "Qdrant",
            Self::ClickHouse => "ClickHouse",
        })
    }
}

/// How a server is started.
#[derive(Debug)]
pub struct Recipe {
    pub url: String,
    pub port: u16,
    /// Written into the directory first; `{directory}` stands for its path.
    pub files: Vec<(&'static str, String)>,
    /// Run once on an empty directory.
    pub prepare: Vec<Program>,
    pub program: Program,
    /// Whether the server on the port does its work.
    pub answers: fn(u16) -> bool,
    /// How to empty it while it runs.
    pub flush: Option<fn(u16) -> std::io::Result<()>>,
    /// The container that it runs in.
    pub container: Option<String>,
}

impl Recipe {
    /// The first way that this machine offers, or why there is none.
    pub fn find(kind: Kind, durability: Durability) -> Result<Self, String> {
        let ports = process::free_ports().map_err(|error| format!("no free port: {error}"))?;
        let local = match kind {
            Kind::Postgres => postgres::local(ports, durability),
            Kind::Redis => redis::local(ports),
            Kind::Kafka => kafka::local(ports),
            Kind::Qdrant => qdrant::local(ports),
            Kind::ClickHouse => clickhouse::local(ports),
        };
        local.or_else(|why| {
            let container = match kind {
                Kind::Postgres => postgres::container(ports),
                Kind::Redis => redis::container(ports),
                Kind::Kafka => kafka::container(ports),
                Kind::Qdrant => qdrant::container(ports),
                Kind::ClickHouse => clickhouse::container(ports),
            };
            if find::docker() {
                Ok(container)
            } else {
                let variable = kind.variable();
                Err(format!(
                    "{variable} is not set, {why}, no Docker engine answers"
                ))
            }
        })
    }
}

/// A recipe that runs an image; `options` are those of `docker run`.
fn in_docker(
    kind: Kind,
    image: &str,
    options: &[String],
    command: &[&str],
) -> (Program, Option<String>) {
    let name = format!("touchstone-{}-{:016x}", kind.name(), process::random());
    // A container that was killed is started again with its data.
    let script = "docker start -a \"$1\" 2>/dev/null || { name=$1; shift; exec docker run --name \"$name\" \"$@\"; }";
    let mut arguments = vec![
        "-c".to_owned(),
        script.to_owned(),
        "run".to_owned(),
        name.clone(),
    ];
    arguments.extend(options.iter().cloned());
    arguments.push(image.to_owned());
    arguments.extend(command.iter().map(|&one| one.to_owned()));
    let program = Program {
        path: "sh".into(),
        arguments,
        ..Program::default()
    };
    (program, Some(name))
}

/// `-p` for `docker run`, on the loopback only.
fn published(outside: u16, inside: u16) -> [String; 2] {
    ["-p".to_owned(), format!("127.0.0.1:{outside}:{inside}")]
}

/// `-e` for `docker run`.
fn environment(pairs: &[(&str, String)]) -> Vec<String> {
    let option = |(name, value): &(&str, String)| ["-e".to_owned(), format!("{name}={value}")];
    pairs.iter().flat_map(option).collect()
}
