//! What coordinator and workers say to each other: JSON, a value a line.

use std::io;

use rand::TryRng;
use rand::rngs::SysRng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use touchstone_types::{Clock, SystemClock};

use crate::engine::{Message, Plan, Shards};
use crate::machine::Usage;
use crate::scenario::Scenario;
use crate::users::AccountCopy;

/// Longest line of somebody who has not proved to know the key.
pub(super) const STRANGER: u64 = 4 * 1024;
/// Longest line of anybody: the accounts of a large run.
pub(super) const LONGEST: u64 = 256 << 20;
/// What both sides must be of the same version of.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a coordinator says.
#[derive(Serialize, Deserialize)]
pub(super) enum Order {
    /// First: who it is.
    Hello {
        version: String,
        nonce: String,
        proof: String,
    },
    /// What time is it? `sent` comes back.
    Clock { sent: i64 },
    /// What is to be done.
    Job(Box<Job>),
    /// Begin at this moment of the worker's clock.
    Begin { at: i64 },
    /// The credential of an account has been renewed.
    Renew { account: usize, credential: String },
    /// End early.
    Stop,
}

/// What a worker says.
#[derive(Serialize, Deserialize)]
pub(super) enum Told {
    /// First: what is to be proved.
    Challenge { version: String, nonce: String },
    /// It knows the key too.
    Welcome { proof: String, cores: u64 },
    /// Its time.
    Clock { sent: i64, own: i64 },
    /// It can begin.
    Ready,
    /// It cannot.
    Refused { why: String },
    /// What a shard told.
    Shard(Message),
    /// It is over.
    Ended { usage: Usage },
}

/// What a worker needs for its share.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    pub scenario: Scenario,
    pub plan: Plan,
    pub target: String,
    pub http2: bool,
    pub authorities: Option<String>,
    pub accounts: Vec<AccountCopy>,
    pub operator: Option<String>,
    pub shards: Shards,
}

/// Microseconds of this machine's clock.
pub(super) fn micros() -> i64 {
    SystemClock.now().timestamp_micros()
}

/// A number that nobody has used before.
pub(super) fn nonce() -> io::Result<String> {
    let mut bytes = [0; 32];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(io::Error::other)?;
    Ok(hex::encode(bytes))
}

/// Shows that `role` knows the key, without showing the key: a hash within a hash, as HMAC has it.
pub(super) fn proof(key: &str, role: &str, nonce: &str) -> String {
    let secret = Sha256::digest(key.as_bytes());
    let inner = Sha256::new()
        .chain_update(secret)
        .chain_update(role)
        .chain_update(nonce)
        .finalize();
    let outer = Sha256::new().chain_update(secret).chain_update(inner);
    hex::encode(outer.finalize())
}

/// The half that reads.
pub(super) struct Reader(BufReader<OwnedReadHalf>);

/// The half that writes.
pub(super) struct Writer(OwnedWriteHalf);

pub(super) fn wire(stream: TcpStream) -> io::Result<(Reader, Writer)> {
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    Ok((Reader(BufReader::new(reader)), Writer(writer)))
}

impl Reader {
    /// The next value; `None` when the other side has gone.
    ///
    /// # Cancellation   what was read of a line is lost.
    pub async fn next<T: DeserializeOwned>(&mut self, longest: u64) -> io::Result<Option<T>> {
        let mut line = Vec::new();
        let read = (&mut self.0)
            .take(longest)
            .read_until(b'\n', &mut line)
            .await?;
        if read == 0 {
            return Ok(None);
        }
        serde_json::from_slice(&line)
            .map(Some)
            .map_err(io::Error::other)
    }
}

impl Writer {
    pub async fn say<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.0.write_all(&line).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_depend_on_key_role_and_nonce() {
        let right = proof("key", "worker", "1");
        assert_eq!(right, proof("key", "worker", "1"));
        for other in [
            proof("kez", "worker", "1"),
            proof("key", "coordinator", "1"),
            proof("key", "worker", "2"),
        ] {
            assert_ne!(right, other);
        }
    }
}
