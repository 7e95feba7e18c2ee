//! A first look at a Qdrant server.

use std::time::Duration;

use qdrant_client::QdrantError;
use touchstone_lifecycle::trial::{self, Mistake};

use super::MINIMUM_VERSION;
use super::connection::{Connection, Options, Verdict, http_url, is_new_enough, verdict};
use crate::error::Error;

/// Asks the server for its version and, with the key, for its collections.
///
/// # Errors
/// [`Mistake`], without the key.
pub(crate) async fn trial(uri: &str, options: &Options) -> Result<(), Mistake> {
    let unreadable = || Mistake::Refused(Error::Uri.to_string());
    let url = http_url(uri).ok_or_else(unreadable)?;
    let (scheme, place) = url.split_once("://").ok_or_else(unreadable)?;
    drop(trial::reach(place).await?);
    let options = Options {
        connect_timeout: trial::PATIENCE,
        read_timeout: trial::PATIENCE,
        write_timeout: Duration::ZERO,
        ..options.clone()
    };
    let hint = if scheme == "https" {
        "does it speak TLS (`qdrant://` is plain), and is this its port for gRPC?"
    } else {
        "is this its port for gRPC, or does it want TLS (`qdrants://`)?"
    };
    let judge = |error| match error {
        Error::Qdrant { source, .. } => judge(&source, place, hint),
        _ => Mistake::silent(place),
    };
    let server = Connection::open(uri, &options).map_err(|_| unreadable())?;
    let version = server.version().await.map_err(judge)?;
    if !is_new_enough(&version) {
        let (major, minor) = MINIMUM_VERSION;
        return Err(Mistake::Refused(format!(
            "Qdrant `{version}` at {place} is too old, this needs {major}.{minor}"
        )));
    }
    let listed = server.read("list collections", (), |client, ()| async move {
        client.list_collections().await
    });
    listed.await.map(drop).map_err(judge)
}

fn judge(error: &QdrantError, place: &str, hint: &str) -> Mistake {
    match verdict(error) {
        Verdict::Refused => Mistake::Refused(format!("{place} refuses the key (QDRANT_API_KEY)")),
        Verdict::Late | Verdict::Busy | Verdict::Full => Mistake::silent(place),
        // A connection was had a moment ago.
        Verdict::Away | Verdict::Broken | Verdict::Rejected => {
            Mistake::garbled(place, "Qdrant", hint)
        }
    }
}
