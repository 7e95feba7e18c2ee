use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

/// The URI of a store. It may hold a password, which is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUri(String);

/// What keeps the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
}

impl StoreUri {
    /// The URI itself; never print it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What keeps the data.
    ///
    /// # Errors
    /// [`Error::Uri`] for a scheme that is not built in.
    pub fn backend(&self) -> Result<Backend, Error> {
        match self.0.split_once(':').map_or("", |(scheme, _)| scheme) {
            "sqlite" => Ok(Backend::Sqlite),
            "postgres" | "postgresql" => Ok(Backend::Postgres),
            _ => Err(Error::Uri(redact(&self.0))),
        }
    }
}

impl From<String> for StoreUri {
    fn from(uri: String) -> Self {
        Self(uri)
    }
}

impl From<&str> for StoreUri {
    fn from(uri: &str) -> Self {
        Self(uri.to_owned())
    }
}

impl fmt::Display for StoreUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

impl fmt::Debug for StoreUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for StoreUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StoreUri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// The URI without what may be a password.
pub(crate) fn redact(uri: &str) -> String {
    let shown = match uri.split_once('?') {
        // Parameters may hold a password too.
        Some((front, _)) if !front.starts_with("sqlite:") => format!("{front}?…"),
        _ => uri.to_owned(),
    };
    match (shown.split_once("://"), shown.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_no_password() {
        for uri in [
            "postgres://me:hunter2@host/db",
            "postgres://me:p@hunter2@host/db?sslmode=require",
            "postgres://host/db?user=me&password=hunter2",
        ] {
            let uri = StoreUri::from(uri);
            let shown = format!("{uri} {uri:?} {}", serde_json::to_string(&uri).unwrap());
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("host/db"), "{shown}");
            assert_eq!(uri.backend().unwrap(), Backend::Postgres);
        }
        assert_eq!(
            StoreUri::from("sqlite://data/x.db").to_string(),
            "sqlite://data/x.db"
        );
        assert!(StoreUri::from("data.db").backend().is_err());
    }
}
