//! A first look at a ClickHouse server.

use clickhouse::error::Error as Refusal;
use touchstone_lifecycle::trial::{self, Mistake};

use super::ClickHouseStore;

/// What the server says of a user or a password that it does not take: `REQUIRED_PASSWORD`,
/// `WRONG_PASSWORD`, `AUTHENTICATION_FAILED`, `UNKNOWN_USER`.
const REFUSALS: [&str; 4] = ["Code: 194", "Code: 193", "Code: 516", "Code: 192"];

impl ClickHouseStore {
    /// Asks the server at `url` for a sign of life, as the configured user. The database need not
    /// be there yet.
    ///
    /// # Errors
    /// [`Mistake`], without the password.
    pub(crate) async fn trial(&self, url: &str) -> Result<(), Mistake> {
        let (scheme, authority) = url.split_once("://").unwrap_or(("http", url));
        let port = if scheme == "https" { 8443 } else { 8123 };
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let place = if has_port {
            authority.to_owned()
        } else {
            format!("{authority}:{port}")
        };
        drop(trial::reach(&place).await?);
        let client = self.client.clone().with_database("default");
        let asked = client.query("SELECT 1").fetch_one::<u8>();
        match tokio::time::timeout(trial::PATIENCE, asked).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(Refusal::BadResponse(words)))
                if REFUSALS.iter().any(|code| words.contains(code)) =>
            {
                Err(Mistake::Refused(format!(
                    "{place} refuses the user or the password (CLICKHOUSE_USER, \
                     CLICKHOUSE_PASSWORD)"
                )))
            }
            Ok(Err(_)) => Err(Mistake::garbled(
                &place,
                "ClickHouse",
                "is this its port for HTTP, and is the scheme right (`https://` with TLS)?",
            )),
            Err(_) => Err(Mistake::silent(&place)),
        }
    }
}
