//! One small value that replicas share and replace as a whole.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::Script;

use crate::Error;
use crate::redis::Connection;

/// No request waits for these values, but an operator does, who would not know whether a change that
/// was not answered in time was made.
const LEAST_TIMEOUT: Duration = Duration::from_secs(1);

/// Replaces a value if it still has the version that the caller knows; 0 is none at all.
const REPLACE: &str = r"
local version = tonumber(redis.call('HGET', KEYS[1], 'version') or '0')
if version ~= tonumber(ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'value', ARGV[3])
return 1
";

/// A value with a version. It lives as long as its backend remembers it: callers keep what they read,
/// and put it back when it is gone.
#[async_trait]
pub trait Document: Send + Sync + fmt::Debug + 'static {
    /// Version and value, if there is one.
    async fn read(&self) -> Result<Option<(u64, Bytes)>, Error>;

    /// Puts `value` under the version `next` in place of the version `known` (0: none); whether that
    /// was the present one.
    async fn replace(&self, known: u64, next: u64, value: Bytes) -> Result<bool, Error>;
}

/// Opens the document `name` at the place that the URI names.
///
/// # Errors
/// [`Error`] when the URI cannot be read.
pub fn open(uri: &str, name: &str) -> Result<Arc<dyn Document>, Error> {
    if uri.starts_with("memory://") {
        return Ok(Arc::new(MemoryDocument::default()));
    }
    if !crate::is_redis(uri) {
        return Err(Error::Uri(crate::scheme_of(uri)));
    }
    let connection = Connection::open_patiently(uri, LEAST_TIMEOUT)?;
    let key = format!("{}:document:{name}", connection.options().prefix);
    Ok(Arc::new(RedisDocument {
        connection,
        key,
        replace: Script::new(REPLACE),
    }))
}

/// A document in this process.
#[derive(Debug, Default)]
pub struct MemoryDocument(Mutex<Option<(u64, Bytes)>>);

#[async_trait]
impl Document for MemoryDocument {
    async fn read(&self) -> Result<Option<(u64, Bytes)>, Error> {
        Ok(self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone())
    }

    async fn replace(&self, known: u64, next: u64, value: Bytes) -> Result<bool, Error> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let present = kept.as_ref().map_or(0, |(version, _)| *version);
        if present != known {
            return Ok(false);
        }
        *kept = Some((next, value));
        Ok(true)
    }
}

#[derive(Debug)]
struct RedisDocument {
    connection: Connection,
    key: String,
    replace: Script,
}

fn unavailable(error: crate::redis::Error) -> Error {
    Error::Unavailable(Box::new(error))
}

#[async_trait]
impl Document for RedisDocument {
    async fn read(&self) -> Result<Option<(u64, Bytes)>, Error> {
        let mut command = redis::cmd("HMGET");
        command.arg(&self.key).arg("version").arg("value");
        let (version, value): (Option<u64>, Option<Vec<u8>>) =
            self.connection.run(&command).await.map_err(unavailable)?;
        Ok(version.zip(value.map(Bytes::from)))
    }

    async fn replace(&self, known: u64, next: u64, value: Bytes) -> Result<bool, Error> {
        let mut call = self.replace.prepare_invoke();
        call.key(&self.key).arg(known).arg(next).arg(&value[..]);
        let done: u64 = self.connection.script(&call).await.map_err(unavailable)?;
        Ok(done == 1)
    }
}
