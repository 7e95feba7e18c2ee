//! Credentials that protect nothing.

/// Passwords that come with servers, manuals and examples.
const KNOWN: [&str; 33] = [
    "123456",
    "12345678",
    "1234567890",
    "abc123",
    "admin",
    "administrator",
    "change",
    "changeit",
    "changeme",
    "changethis",
    "clickhouse",
    "default",
    "demo",
    "example",
    "guest",
    "letmein",
    "minioadmin",
    "pass",
    "passwd",
    "password",
    "placeholder",
    "postgres",
    "postgresql",
    "qdrant",
    "qwerty",
    "redis",
    "replaceme",
    "root",
    "secret",
    "test",
    "touchstone",
    "user",
    "yourpassword",
];
/// A key of random bytes has more different ones, however it is written.
const LEAST_DIFFERENT_BYTES: usize = 8;

/// Why a password protects nothing; nothing when it may.
pub fn weak_password(user: &str, password: &str) -> Option<&'static str> {
    // `Change-Me!`, `password1` and `<password>` are what they look like.
    let plain: String = password
        .chars()
        .filter(|character| character.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    let word = plain.trim_end_matches(|character: char| character.is_ascii_digit());
    if password.is_empty() {
        Some("has no password")
    } else if KNOWN.contains(&plain.as_str()) || KNOWN.contains(&word) {
        Some("has a password that everybody tries")
    } else if !user.is_empty() && password == user {
        Some("has the user's name as password")
    } else {
        None
    }
}

/// Why a signing or service key protects nothing; nothing when it may. Its length is checked where
/// it is used.
pub fn weak_key(key: &str) -> Option<&'static str> {
    let mut seen = [false; 256];
    key.bytes().for_each(|byte| seen[usize::from(byte)] = true);
    let different = seen.into_iter().filter(|seen| *seen).count();
    let example = ["change", "replace", "example", "your-", "your_"];
    let lower = key.to_lowercase();
    if different < LEAST_DIFFERENT_BYTES {
        Some("repeats a few bytes; `openssl rand -hex 32` makes a good one")
    } else if example.iter().any(|word| lower.contains(word)) {
        Some("is an example; `openssl rand -hex 32` makes a good one")
    } else {
        None
    }
}

/// Why the credentials in a server's URL protect nothing; nothing when they may.
///
/// A server on this machine may trust its users unless `strict`: that is what laptops and tests do.
pub fn weak_url(url: &str, strict: bool) -> Option<&'static str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (userinfo, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if !strict && is_here(host) {
        return None;
    }
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    weak_password(user, password)
}

/// As [`weak_url`], for a server whose user and password are not part of its URL.
pub fn weak_login(url: &str, user: &str, password: &str, strict: bool) -> Option<&'static str> {
    let (_, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if !strict && is_here(host) {
        return None;
    }
    weak_password(user, password)
}

/// Whether a host (with or without port) is this machine.
fn is_here(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let loopback = name
        .parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.is_loopback());
    // Without a host, or with a directory in its place, the server is behind a socket file.
    loopback || name.is_empty() || name == "localhost" || name.starts_with("%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_manuals_are_refused_however_they_are_written() {
        for password in [
            "postgres",
            "Password",
            "password1",
            "change-me",
            "CHANGE_ME!",
            "<password>",
            "admin123",
        ] {
            assert!(weak_password("app", password).is_some(), "{password}");
        }
        assert_eq!(weak_password("app", ""), Some("has no password"));
        assert!(weak_password("orders", "orders").is_some());
        for password in [
            "5f2c9a0d7be14c33",
            "correct horse battery staple",
            "тайна-сорока",
        ] {
            assert_eq!(weak_password("app", password), None, "{password}");
        }
    }

    #[test]
    fn keys_of_few_bytes_and_examples_are_refused() {
        assert!(weak_key(&"a".repeat(64)).is_some());
        assert!(weak_key(&"0123".repeat(16)).is_some());
        assert!(weak_key("change-me-to-something-of-32-bytes!").is_some());
        assert!(weak_key("9f86d081884c7d659a2feaa0c55ad015").is_none());
    }

    #[test]
    fn a_url_is_judged_by_its_password_and_its_host() {
        let weak = |url| weak_url(url, false).is_some();
        assert!(weak("postgres://app@db:5432/touchstone"));
        assert!(weak(
            "postgres://postgres:postgres@db/touchstone?sslmode=require"
        ));
        assert!(weak("redis://redis:6379"));
        assert!(weak("redis://:redis@10.0.0.7"));
        assert!(!weak("postgres://app:0f3b77c1d2@db/touchstone"));
        assert!(!weak("redis://:0f3b77c1d2@redis:6379/0"));
    }

    #[test]
    fn a_login_beside_the_url_is_judged_alike() {
        let weak = |url, password| weak_login(url, "touchstone", password, false).is_some();
        assert!(weak("http://clickhouse:8123", ""));
        assert!(weak("qdrant://vectors:6334", "qdrant"));
        assert!(!weak("http://clickhouse:8123", "0f3b77c1d2"));
        assert!(!weak("http://127.0.0.1:8123", ""));
        assert!(weak_login("http://127.0.0.1:8123", "default", "", true).is_some());
        // What is embedded has no login.
        assert!(!weak("sqlite::memory:", ""));
    }

    #[test]
    fn servers_of_this_machine_may_trust_unless_strict() {
        for url in [
            "postgres://postgres:postgres@127.0.0.1:5432/x",
            "postgres://localhost/x",
            "postgres://app@[::1]:5432/x",
            "postgres:///x?host=/var/run/postgresql",
            "redis://localhost:6379",
        ] {
            assert_eq!(weak_url(url, false), None, "{url}");
            assert!(weak_url(url, true).is_some(), "{url}");
        }
        assert!(weak_url("postgres://localhost.example.org/x", false).is_some());
    }
}
