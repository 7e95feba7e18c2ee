//! A first look at a Redis server.

use redis::{Client, ConnectionAddr, ErrorKind, RedisError};
use touchstone_lifecycle::provide_cryptography;
use touchstone_lifecycle::trial::{self, Mistake};

use super::uri;

/// Asks the server that `uri` names for a sign of life, as the configured user and in the configured
/// database.
///
/// # Errors
/// [`Mistake`], without the password.
pub async fn trial(uri: &str) -> Result<(), Mistake> {
    let (server, _) = uri::read(uri).map_err(|error| Mistake::Refused(error.to_string()))?;
    let unreadable = |_| Mistake::Refused(crate::Error::Server.to_string());
    provide_cryptography();
    let client = Client::open(server).map_err(unreadable)?;
    let info = client.get_connection_info();
    let (place, hint, tls) = match info.addr() {
        ConnectionAddr::Tcp(host, port) => (
            format!("{host}:{port}"),
            "is it another server, or does it want TLS (`rediss://`)?",
            false,
        ),
        ConnectionAddr::TcpTls { host, port, .. } => (
            format!("{host}:{port}"),
            "does it speak TLS, with a certificate that is accepted (`redis://` is plain)?",
            true,
        ),
        _ => return Ok(()),
    };
    drop(trial::reach(&place).await?);
    let ping = async {
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("PING")
            .query_async::<String>(&mut connection)
            .await
    };
    let mistake = match tokio::time::timeout(trial::PATIENCE, ping).await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => judge(&error, &place, hint),
        Err(_) => Mistake::silent(&place),
    };
    // A plain server takes the greeting of TLS for a command, and waits for its end.
    match mistake {
        Mistake::Away(_) if tls => Err(Mistake::garbled(&place, "Redis", hint)),
        mistake => Err(mistake),
    }
}

fn judge(error: &RedisError, place: &str, hint: &str) -> Mistake {
    // The driver's words may repeat what it was given: they are looked at and not shown.
    let words = error.to_string();
    if error.kind() == ErrorKind::AuthenticationFailed || words.contains("WRONGPASS") {
        Mistake::Refused(format!("{place} refuses the user or the password"))
    } else if words.contains("NOAUTH") {
        Mistake::Refused(format!("{place} asks for a password"))
    } else if words.contains("switch database") || words.contains("DB index") {
        Mistake::Refused(format!("{place} has no database of this number"))
    } else if error.is_timeout() || words.contains("LOADING") {
        Mistake::silent(place)
    } else {
        Mistake::garbled(place, "Redis", hint)
    }
}
