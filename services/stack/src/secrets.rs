//! The secrets of a deployment: which there are, and new values for them.

use std::collections::BTreeMap;

use rand::Rng;

/// Bytes of randomness in a secret.
const BYTES: usize = 32;

/// What a deployment has to keep secret. Values are hexadecimal, so that they fit into URLs, shells and
/// every server's configuration as they are.
pub const SECRETS: [(&str, &str); 6] = [
    ("SERVICE_KEY", "services vouch for each other with it"),
    ("POSTGRES_PASSWORD", "PostgreSQL"),
    ("REDIS_PASSWORD", "Redis"),
    ("QDRANT_API_KEY", "Qdrant"),
    ("CLICKHOUSE_PASSWORD", "ClickHouse"),
    ("GRAFANA_PASSWORD", "Grafana's administrator"),
];

/// A new value for every secret that `known` has none for, by name.
pub fn missing(known: &BTreeMap<String, String>) -> Vec<(&'static str, String)> {
    SECRETS
        .iter()
        .filter(|(name, _)| known.get(*name).is_none_or(String::is_empty))
        .map(|(name, _)| (*name, new_secret()))
        .collect()
}

/// The URLs that hold one of the secrets, by the name of their variable: for servers under the host
/// names of the compose file and of the trial on Kubernetes.
pub fn urls(secrets: &BTreeMap<String, String>) -> Vec<(&'static str, String)> {
    let of = |name: &str| secrets.get(name).map(String::as_str).unwrap_or_default();
    vec![
        (
            "DATABASE_URL",
            format!(
                "postgres://touchstone:{}@postgres:5432/touchstone",
                of("POSTGRES_PASSWORD")
            ),
        ),
        (
            "REDIS_URL",
            format!("redis://:{}@redis:6379/0", of("REDIS_PASSWORD")),
        ),
    ]
}

/// Names and values in a `.env` file.
pub fn read_env(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim();
            let line = line.strip_prefix("export ").unwrap_or(line);
            let (name, value) = line.split_once('=')?;
            let value = value.trim().trim_matches(['"', '\'']);
            (!name.starts_with('#')).then(|| (name.trim().to_owned(), value.to_owned()))
        })
        .collect()
}

/// The Kubernetes object with every value, a key per file that the pods mount.
pub fn kubernetes(namespace: &str, values: &BTreeMap<String, String>) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: touchstone-secrets\n  namespace: {namespace}\n\
         type: Opaque\nstringData:\n"
    );
    for (name, value) in values {
        text.push_str("  ");
        text.push_str(&file_name(name));
        text.push_str(": \"");
        text.push_str(value);
        text.push_str("\"\n");
    }
    text
}

/// Name of the file that holds the value of a variable.
pub fn file_name(variable: &str) -> String {
    variable.to_lowercase()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a secret must come from the system's source"
)]
fn new_secret() -> String {
    let mut rng: rand::rngs::StdRng = rand::make_rng();
    let mut bytes = [0_u8; BYTES];
    rng.fill_bytes(&mut bytes);
    hex::encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_no_value_gets_one() {
        let known = read_env("# REDIS_PASSWORD=x\nSERVICE_KEY='kept'\nexport QDRANT_API_KEY=\n");
        assert_eq!(known["SERVICE_KEY"], "kept");
        let made: Vec<_> = missing(&known).into_iter().map(|(name, _)| name).collect();
        let all: Vec<_> = SECRETS.iter().map(|(name, _)| *name).collect();
        assert_eq!(made, all[1..]);
    }

    #[test]
    fn new_secrets_are_good_ones_and_differ() {
        let made: BTreeMap<_, _> = missing(&BTreeMap::new())
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let different: std::collections::BTreeSet<_> = made.values().collect();
        assert_eq!(different.len(), SECRETS.len());
        for value in made.values() {
            assert_eq!(value.len(), 2 * BYTES);
            assert_eq!(touchstone_config::credentials::weak_key(value), None);
            assert_eq!(
                touchstone_config::credentials::weak_password("touchstone", value),
                None
            );
        }
        for (_, url) in urls(&made) {
            assert_eq!(touchstone_config::credentials::weak_url(&url, true), None);
        }
    }
}
