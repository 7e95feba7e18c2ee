#![doc = include_str!("../README.md")]

pub mod document;
mod memory;
pub mod quota;
pub mod redis;

pub use memory::MemoryCache;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use bytesize::ByteSize;
use touchstone_error::{Classify, ErrorKind};

use crate::redis::{Connection, RedisCache};

/// Size of a memory cache whose URI does not tell.
const DEFAULT_MAX: ByteSize = ByteSize::mib(16);

/// A cache of bytes.
#[async_trait]
pub trait Cache: Send + Sync + fmt::Debug + 'static {
    /// The value, unless it was never put, ran out or was forgotten.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error>;

    /// Keeps a value for at most `ttl`, in place of an older one.
    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), Error>;

    /// Forgets a value; nothing happens when there is none.
    async fn remove(&self, key: &str) -> Result<(), Error>;
}

/// A cache did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URI names no cache that is built in.
    #[error("`{0}` is no cache that is built in; expected `memory://` or `redis://host:port`")]
    Uri(String),
    /// An option of the URI is unknown or cannot be read.
    #[error(
        "`{option}` is no option of this cache, or its value cannot be read; expected {expected}"
    )]
    Option {
        /// The option's name.
        option: String,
        /// What there is.
        expected: &'static str,
    },
    /// The URI of a Redis server cannot be read; it is not shown, because it may hold a password.
    #[error(
        "the URI of the Redis server cannot be read; expected `redis://[user:password@]host[:port][/database]`"
    )]
    Server,
    /// The backend is out of reach.
    #[error("the cache is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Uri(_) | Self::Option { .. } | Self::Server => ErrorKind::Internal,
            Self::Unavailable(_) => ErrorKind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Uri(_) | Self::Option { .. } | Self::Server => "cache.uri",
            Self::Unavailable(_) => "cache.unavailable",
        }
    }
}

/// Opens the cache that the URI names. A Redis connection is made in the background: call it inside
/// a runtime.
pub fn open(uri: &str) -> Result<Arc<dyn Cache>, Error> {
    if is_redis(uri) {
        return Ok(Arc::new(RedisCache::new(Connection::open(uri)?)));
    }
    let Some(options) = uri.strip_prefix("memory://") else {
        return Err(Error::Uri(scheme_of(uri)));
    };
    let mut max = DEFAULT_MAX;
    let options = options.strip_prefix('?').unwrap_or(options);
    for option in options.split('&').filter(|option| !option.is_empty()) {
        let size = option
            .strip_prefix("max=")
            .and_then(|size| size.parse().ok());
        max = size.ok_or_else(|| Error::Option {
            option: option.to_owned(),
            expected: "`max=<size>`",
        })?;
    }
    Ok(Arc::new(MemoryCache::new(max)))
}

/// Whether the URI can be opened, for the validation of configurations: the mistake in words, without
/// the URI.
pub fn check(uri: &str) -> Result<(), Error> {
    if is_redis(uri) {
        return redis::check(uri);
    }
    if uri.starts_with("memory://") {
        return open(uri).map(|_| ());
    }
    Err(Error::Uri(scheme_of(uri)))
}

/// A first look at the Redis server that the URI names, if it names one.
///
/// # Errors
/// [`Mistake`](touchstone_lifecycle::trial::Mistake), without the password.
pub async fn trial(uri: &str) -> Result<(), touchstone_lifecycle::trial::Mistake> {
    if is_redis(uri) {
        redis::trial(uri).await
    } else {
        Ok(())
    }
}

fn is_redis(uri: &str) -> bool {
    uri.starts_with("redis://") || uri.starts_with("rediss://")
}

/// What may be shown of a URI that is not understood.
fn scheme_of(uri: &str) -> String {
    let scheme = uri.split_once("://").map_or("", |(scheme, _)| scheme);
    format!("{scheme}://…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_caches_and_unknown_options_are_refused() {
        assert!(open("memory://").is_ok());
        assert!(open("memory://?max=1MiB").is_ok());
        for uri in [
            "hunter2",
            "postgres://:hunter2@host",
            "redis://a b:hunter2@",
            "redis://",
        ] {
            let error = check(uri).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        for uri in ["memory://?max=lots", "memory://?size=1MiB", "memory://name"] {
            assert!(matches!(open(uri), Err(Error::Option { .. })), "{uri}");
        }
    }
}
