//! From a URI to a connection, and from a failure to a sentence that says what to change.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::Options;
use crate::Error;

/// Parameters that a URI may carry.
const PARAMETERS: [&str; 10] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "user",
    "dbname",
    "statement-cache-capacity",
    "application_name",
];
/// Oldest server that knows every setting that is sent.
const OLDEST_SERVER: i32 = 140_000;
/// Longest time for one attempt to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a database cannot be used, in words that never hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Mistake {
    text: String,
    /// Whether waiting may help: the server is not up yet.
    transient: bool,
}

impl Mistake {
    pub(crate) fn lasting(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            transient: false,
        }
    }

    fn transient(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            transient: true,
        }
    }

    /// Whether waiting may help: the server is not up yet.
    pub const fn is_transient(&self) -> bool {
        self.transient
    }
}

/// Reads a URI; every statement on its connections is bounded and sees only `schema`.
pub(super) fn options(
    uri: &str,
    schema: &str,
    options: &Options,
) -> Result<PgConnectOptions, Error> {
    let millis = |duration: Duration| duration.as_millis().to_string();
    Ok(parse(uri)?
        .application_name(&format!("touchstone-{schema}"))
        .log_statements(tracing::log::LevelFilter::Trace)
        .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1))
        .options([
            ("search_path", schema.to_owned()),
            ("statement_timeout", millis(options.statement_timeout)),
            ("lock_timeout", millis(options.lock_timeout)),
            (
                "idle_in_transaction_session_timeout",
                millis(options.operation_timeout),
            ),
            // The server notices clients that are gone: their work and their locks end.
            ("client_connection_check_interval", "1000".to_owned()),
            ("tcp_user_timeout", "10000".to_owned()),
            ("tcp_keepalives_idle", "10".to_owned()),
            ("tcp_keepalives_interval", "5".to_owned()),
            ("tcp_keepalives_count", "3".to_owned()),
        ]))
}

fn parse(uri: &str) -> Result<PgConnectOptions, Mistake> {
    let rest = uri
        .strip_prefix("postgres://")
        .or_else(|| uri.strip_prefix("postgresql://"))
        .ok_or_else(|| Mistake::lasting("is no postgres:// URL"))?;
    // The driver would log a parameter that it does not know, with its value.
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        if !PARAMETERS.contains(&name) {
            let known = PARAMETERS.join(", ");
            return Err(Mistake::lasting(format!(
                "has an unknown parameter; known are {known}"
            )));
        }
    }
    let options: PgConnectOptions = uri.parse().map_err(|_| {
        Mistake::lasting("cannot be read; write postgres://user:password@host:5432/database")
    })?;
    if options.get_database().is_none_or(str::is_empty) {
        return Err(Mistake::lasting(
            "names no database; write postgres://user:password@host:5432/database",
        ));
    }
    Ok(options)
}

/// Connects, bounded in time.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    match tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(judge(&error, options).into()),
        Err(_) => Err(Mistake::transient(format!(
            "{} does not answer within {} s",
            place(options),
            CONNECT_TIMEOUT.as_secs()
        ))
        .into()),
    }
}

/// Tries a URI: address, TLS, name, password, database, age of the server.
///
/// # Errors
/// [`Mistake`] says what to change, and whether waiting may help.
pub async fn check(uri: &str) -> Result<(), Mistake> {
    let options = parse(uri)?;
    let mistake = |error: Error| match error {
        Error::Connect(mistake) => mistake,
        other => Mistake::transient(touchstone_error::chain(&other).to_string()),
    };
    let mut connection = connect(&options).await.map_err(mistake)?;
    let version = sqlx::query_scalar::<_, String>("SHOW server_version_num")
        .fetch_one(&mut connection)
        .await
        .map_err(|error| judge(&error, &options))?;
    let _ = connection.close().await;
    if version.parse::<i32>().unwrap_or(0) < OLDEST_SERVER {
        return Err(Mistake::lasting(format!(
            "{} is older than PostgreSQL {}",
            place(&options),
            OLDEST_SERVER / 10_000
        )));
    }
    Ok(())
}

fn place(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

fn judge(error: &sqlx::Error, options: &PgConnectOptions) -> Mistake {
    let (place, user) = (place(options), options.get_username());
    let database = options.get_database().unwrap_or_default();
    match error {
        sqlx::Error::Database(refusal) => match refusal.code().as_deref().unwrap_or_default() {
            "28P01" => Mistake::lasting(format!("{place} refuses the password of `{user}`")),
            "28000" if refusal.message().contains("role") => {
                Mistake::lasting(format!("{place} knows no user `{user}`"))
            }
            "28000" => Mistake::lasting(format!(
                "{place} does not let `{user}` in{}; see its pg_hba.conf",
                if options.get_ssl_mode_is_off() {
                    " without TLS"
                } else {
                    ""
                }
            )),
            "3D000" => Mistake::lasting(format!(
                "{place} has no database `{database}`; create it first"
            )),
            "42501" => Mistake::lasting(format!(
                "`{user}` may not connect to `{database}` on {place}"
            )),
            code @ ("57P03" | "53300" | "53400") => {
                Mistake::transient(format!("{place} takes no connections now ({code})"))
            }
            "22023" | "42704" => Mistake::lasting(format!(
                "{place} does not know a setting that is sent; PostgreSQL {} or newer is needed",
                OLDEST_SERVER / 10_000
            )),
            code => Mistake::lasting(format!("{place} refuses the connection ({code})")),
        },
        sqlx::Error::Tls(_) if error_text(error).contains("does not support TLS") => {
            Mistake::lasting(format!(
                "asks for TLS (sslmode), but {place} does not offer it"
            ))
        }
        sqlx::Error::Tls(_) => Mistake::lasting(format!(
            "asks for TLS (sslmode), but the certificate of {place} is not accepted"
        )),
        sqlx::Error::Io(io) => match io.kind() {
            std::io::ErrorKind::ConnectionRefused => {
                Mistake::transient(format!("nothing listens on {place}"))
            }
            std::io::ErrorKind::NotFound => {
                Mistake::lasting(format!("a file that it names is not there ({place})"))
            }
            // The certificate of the server is judged while reading and writing.
            std::io::ErrorKind::InvalidData => Mistake::lasting(format!(
                "asks for TLS (sslmode), but the certificate of {place} is not accepted"
            )),
            _ if io.raw_os_error().is_none() => {
                Mistake::transient(format!("{place} cannot be found or breaks off"))
            }
            _ => Mistake::transient(format!("{place} cannot be reached ({})", io.kind())),
        },
        sqlx::Error::Protocol(_) => {
            Mistake::lasting(format!("{place} does not speak PostgreSQL's protocol"))
        }
        _ => Mistake::lasting(format!("{place} cannot be used")),
    }
}

fn error_text(error: &sqlx::Error) -> String {
    error.to_string()
}

/// What the driver does not tell in one word.
trait TlsMode {
    fn get_ssl_mode_is_off(&self) -> bool;
}

impl TlsMode for PgConnectOptions {
    fn get_ssl_mode_is_off(&self) -> bool {
        matches!(self.get_ssl_mode(), PgSslMode::Disable | PgSslMode::Allow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_url_is_told_without_the_password() {
        for (uri, expected) in [
            ("mysql://me:hunter2@host/db", "no postgres:// URL"),
            ("postgres://me:hunter2@host", "names no database"),
            ("postgres://me:hunter2@host:port/db", "cannot be read"),
            ("postgres://me@host/db?pasword=hunter2", "unknown parameter"),
            (
                "postgres://me:hunter2@host/db?sslmode=maybe",
                "cannot be read",
            ),
        ] {
            let mistake = parse(uri).unwrap_err();
            assert!(mistake.to_string().contains(expected), "{uri}: {mistake}");
            assert!(!format!("{mistake:?}").contains("hunter2"), "{uri}");
            assert!(!mistake.is_transient());
        }
    }

    #[test]
    fn a_connection_is_bounded_and_sees_one_schema() {
        let options = options("postgres://me@host/db", "auth", &Options::default()).unwrap();
        let sent = options.get_options().unwrap();
        for setting in [
            "search_path=auth",
            "statement_timeout=5000",
            "lock_timeout=2000",
            "idle_in_transaction_session_timeout=8000",
        ] {
            assert!(sent.contains(setting), "{sent}");
        }
        assert_eq!(options.get_application_name(), Some("touchstone-auth"));
    }

    #[tokio::test]
    async fn an_address_that_nobody_listens_on_may_be_waited_for() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mistake = check(&format!("postgres://me:hunter2@{address}/db"))
            .await
            .unwrap_err();
        assert!(mistake.is_transient());
        assert_eq!(mistake.to_string(), format!("nothing listens on {address}"));
    }
}
