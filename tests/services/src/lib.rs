#![doc = include_str!("../README.md")]

mod find;
mod kinds;
mod process;
mod server;
mod tree;
mod volume;

use std::fmt;
use std::io::Write;
use std::sync::OnceLock;

pub use kinds::Kind;
pub use server::Exclusive;

/// Names of servers that must not be missing, separated by commas; `all` for every one.
const REQUIRED: &str = "TOUCHSTONE_REQUIRE_SERVERS";

/// A server that the tests of this process share, or that the environment names.
#[derive(Clone, Debug)]
pub struct Server {
    url: String,
}

impl Server {
    /// Where it listens, as the stack's configuration wants it: `postgres://…`, `redis://…`,
    /// `kafka://host:port`, `http://…`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL without its scheme, as `KAFKA_BROKERS` has it.
    pub fn address(&self) -> &str {
        self.url
            .split_once("://")
            .map_or(self.url.as_str(), |(_, address)| address)
    }
}

/// What is known of a kind of server in this process.
enum Shared {
    /// Named by the environment.
    Given(String),
    /// Started here. Ends with the process.
    Started(Exclusive),
    /// Why there is none.
    Missing(String),
}

static SHARED: [OnceLock<Shared>; Kind::ALL.len()] = [const { OnceLock::new() }; Kind::ALL.len()];

/// PostgreSQL 13 or later, with a superuser.
pub async fn postgres() -> Option<Server> {
    shared(Kind::Postgres).await
}

/// Redis 6 or later.
pub async fn redis() -> Option<Server> {
    shared(Kind::Redis).await
}

/// Kafka, one node.
pub async fn kafka() -> Option<Server> {
    shared(Kind::Kafka).await
}

/// Qdrant; its URL is the one of gRPC.
pub async fn qdrant() -> Option<Server> {
    shared(Kind::Qdrant).await
}

/// ClickHouse; its URL is the one of HTTP.
pub async fn clickhouse() -> Option<Server> {
    shared(Kind::ClickHouse).await
}

/// The shared server of a kind; `None` after a line on standard error.
///
/// # Panics
/// When the server is missing and `TOUCHSTONE_REQUIRE_SERVERS` lists it.
pub async fn shared(kind: Kind) -> Option<Server> {
    let started = tokio::task::spawn_blocking(move || {
        let known = SHARED[kind as usize].get_or_init(|| start_shared(kind));
        match known {
            Shared::Given(url) => Ok(url.clone()),
            Shared::Started(server) => Ok(server.url().to_owned()),
            Shared::Missing(why) => Err(why.clone()),
        }
    });
    match started.await {
        Ok(Ok(url)) => Some(Server { url }),
        Ok(Err(why)) => missing(kind, &why),
        Err(error) => missing(kind, &error),
    }
}

fn start_shared(kind: Kind) -> Shared {
    if let Some(url) = touchstone_config::variable(kind.variable()) {
        return Shared::Given(kind.with_scheme(&url));
    }
    match Exclusive::start_blocking(kind, server::Durability::Fast) {
        Ok(server) => Shared::Started(server),
        Err(why) => Shared::Missing(why),
    }
}

/// Says that a server is missing, or fails the test that needs it.
fn missing<T>(kind: Kind, why: &dyn fmt::Display) -> Option<T> {
    let required = touchstone_config::variable(REQUIRED).unwrap_or_default();
    let listed = required
        .split(',')
        .any(|name| name.trim() == "all" || name.trim().eq_ignore_ascii_case(kind.name()));
    assert!(!listed, "{REQUIRED} asks for {kind}, but: {why}");
    say(&format!("SKIPPED: no {kind} server: {why}"));
    None
}

/// Writes past the capture of the test harness.
fn say(line: &str) {
    let mut stderr = std::io::stderr().lock();
    // Nobody is left to tell if standard error is closed.
    let _ = writeln!(stderr, "{line}");
}

/// The URL of a fresh database on the shared PostgreSQL.
///
/// # Panics
/// When the server refuses to create one.
#[expect(clippy::expect_used, reason = "a test without its database must fail")]
pub async fn postgres_database() -> Option<String> {
    let server = postgres().await?;
    let url = create_database(server.url()).await;
    Some(url.expect("PostgreSQL creates a database"))
}

/// Creates a database beside the one that `url` names; its URL.
pub async fn create_database(url: &str) -> Result<String, sqlx::Error> {
    use sqlx::{Connection, Executor, PgConnection};

    let name = format!("t_{:016x}", process::random());
    let mut connection = PgConnection::connect(url).await?;
    connection
        .execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .await?;
    connection.close().await?;
    Ok(with_database(url, &name))
}

/// The URL with another database.
fn with_database(url: &str, name: &str) -> String {
    let (address, query) = url
        .split_once('?')
        .map_or((url, None), |(a, q)| (a, Some(q)));
    let host = address
        .split_once("://")
        .map_or(0, |(scheme, _)| scheme.len() + 3);
    let end = address[host..]
        .find('/')
        .map_or(address.len(), |at| host + at);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{name}{query}", &address[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_keeps_the_rest_of_the_url() {
        let other = |url| with_database(url, "new");
        assert_eq!(other("postgres://u:p@h:1/old"), "postgres://u:p@h:1/new");
        assert_eq!(other("postgres://u:p@h:1"), "postgres://u:p@h:1/new");
        assert_eq!(other("postgres://h/a?x=/y"), "postgres://h/new?x=/y");
    }
}
