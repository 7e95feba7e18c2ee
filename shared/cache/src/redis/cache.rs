use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::Connection;
use crate::{Cache, Error};

/// A cache in Redis, shared by all that use the same server and prefix.
#[derive(Clone, Debug)]
pub struct RedisCache(Connection);

impl RedisCache {
    /// A cache over the connection.
    pub const fn new(connection: Connection) -> Self {
        Self(connection)
    }

    fn key(&self, key: &str) -> String {
        format!("{}:cache:{key}", self.0.options().prefix)
    }
}

fn unavailable(error: super::Error) -> Error {
    Error::Unavailable(Box::new(error))
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        if touchstone_faults::cache_is_lost() {
            return Ok(None);
        }
        let mut command = redis::cmd("GET");
        command.arg(self.key(key));
        let value: Option<Vec<u8>> = self.0.run(&command).await.map_err(unavailable)?;
        Ok(value.map(Bytes::from))
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), Error> {
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            // Redis refuses a time to live of nothing.
            return self.remove(key).await;
        }
        let mut command = redis::cmd("SET");
        // A hundred years, beyond which Redis refuses as well.
        let millis = millis.min(100 * 365 * 24 * 3_600_000);
        command
            .arg(self.key(key))
            .arg(&value[..])
            .arg("PX")
            .arg(millis);
        self.0.run(&command).await.map_err(unavailable)
    }

    async fn remove(&self, key: &str) -> Result<(), Error> {
        let mut command = redis::cmd("DEL");
        command.arg(self.key(key));
        self.0.run(&command).await.map_err(unavailable)
    }
}
