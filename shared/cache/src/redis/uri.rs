use std::time::Duration;

use crate::Error;

/// How a connection behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Longest time for a command.
    pub timeout: Duration,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// Errors in a row after which the server counts as away.
    pub failures: u32,
    /// Shortest pause between two pings of a server that is away.
    pub first_pause: Duration,
    /// Longest one; a server that is back is noticed within it.
    pub longest_pause: Duration,
    /// Goes before every key, so that deployments can share a server.
    pub prefix: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_millis(5),
            connect_timeout: Duration::from_millis(500),
            failures: 5,
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(1),
            prefix: "touchstone".to_owned(),
        }
    }
}

/// Splits a URI into what the driver reads and our options.
pub(crate) fn read(uri: &str) -> Result<(String, Options), Error> {
    let mut options = Options::default();
    let (server, query) = uri.split_once('?').unwrap_or((uri, ""));
    for option in query.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let unknown = || Error::Option {
            // The value may be a secret that was put into the wrong place.
            option: name.to_owned(),
            expected: "`timeout=<duration>`, `connect_timeout=<duration>` or `prefix=<name>`",
        };
        let duration = || {
            humantime::parse_duration(value)
                .ok()
                .filter(|duration| !duration.is_zero())
                .ok_or_else(unknown)
        };
        match name {
            "timeout" => options.timeout = duration()?,
            "connect_timeout" => options.connect_timeout = duration()?,
            "prefix" if is_name(value) => value.clone_into(&mut options.prefix),
            _ => return Err(unknown()),
        }
    }
    Ok((server.to_owned(), options))
}

/// Names go into keys: no braces, which would choose the slot of a cluster.
fn is_name(text: &str) -> bool {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "-_.:".contains(letter);
    !text.is_empty() && text.len() <= 64 && text.chars().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_ours_and_the_rest_is_the_drivers() {
        let (server, options) =
            read("rediss://u:p@host:7/2?timeout=20ms&prefix=blue&connect_timeout=1s").unwrap();
        assert_eq!(server, "rediss://u:p@host:7/2");
        let expected = Options {
            timeout: Duration::from_millis(20),
            connect_timeout: Duration::from_secs(1),
            prefix: "blue".into(),
            ..Options::default()
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn a_mistake_is_told_without_the_value() {
        for uri in [
            "redis://host?timeout=hunter2",
            "redis://host?timeout=0s",
            "redis://host?prefix={hunter2}",
            "redis://host?pass=hunter2",
        ] {
            let error = read(uri).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
