use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use touchstone_config::{Error, Loader, Problems, Secret, Section, credentials};
use touchstone_telemetry::LogFormat;

use crate::{FaultsConfig, MeshConfig, Service};

/// What the stack is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// On a laptop.
    Development,
    /// For others.
    Production,
}

/// The section `stack`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackConfig {
    /// What the stack is run for.
    pub profile: Profile,
    /// Address that every port is bound on.
    pub host: IpAddr,
    /// Where the data is.
    pub data_dir: PathBuf,
    /// How long requests in flight may take when the stack stops.
    #[serde(with = "humantime_serde")]
    pub shutdown_grace: Duration,
    /// Secret with which services vouch for each other.
    pub service_key: Secret,
    /// The bus of the services: `memory://`, `kafka://host:port,…` or `host:port,…`.
    pub events: String,
    /// Fixes the clock-independent parts.
    pub seed: u64,
    /// Port of each service; 0 picks a free one.
    pub ports: BTreeMap<String, u16>,
    /// Address of the gateway's port for operators.
    pub admin_host: IpAddr,
    /// That port; 0 picks a free one.
    pub admin_port: u16,
    /// Where services are that run elsewhere.
    pub urls: BTreeMap<String, String>,
    /// PostgreSQL of all services; empty: a SQLite file each.
    pub database_url: Secret,
    /// Whether to bring schemas up to date at the start.
    pub migrate: bool,
    /// How long to wait at the start for servers that are not up yet.
    #[serde(with = "humantime_serde")]
    pub startup_wait: Duration,
    /// How calls among services are protected.
    pub mesh: MeshConfig,
    /// Faults that can be asked for.
    pub faults: FaultsConfig,
    /// Logs.
    pub log: LogConfig,
    /// Demo data.
    pub demo: DemoConfig,
}

/// Logs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// `text` or `json`.
    pub format: LogFormat,
    /// As in `RUST_LOG`.
    pub filter: String,
}

/// Demo data.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoConfig {
    /// Whether to load it on the first start.
    pub enabled: bool,
    /// The demo user's login name.
    pub email: String,
}

impl StackConfig {
    /// The URI of the bus; brokers alone are Kafka's.
    pub fn events_uri(&self) -> String {
        if self.events.contains("://") {
            self.events.clone()
        } else {
            format!("kafka://{}", self.events)
        }
    }
}

impl Section for StackConfig {
    const NAME: &'static str = "stack";
    const DEFAULTS: &'static str = include_str!("../config.default.toml");
    const PLAIN: &'static [(&'static str, &'static str)] = &[
        ("HOST", "host"),
        ("DATA_DIR", "data_dir"),
        ("SERVICE_KEY", "service_key"),
        ("DATABASE_URL", "database_url"),
        ("MIGRATE", "migrate"),
        ("STARTUP_WAIT", "startup_wait"),
        ("LOG_FORMAT", "log.format"),
        ("LOG_LEVEL", "log.filter"),
        ("PROFILE", "profile"),
        ("SEED", "seed"),
        ("KAFKA_BROKERS", "events"),
        ("GATEWAY_PORT", "ports.gateway"),
        ("GATEWAY_ADMIN_HOST", "admin_host"),
        ("GATEWAY_ADMIN_PORT", "admin_port"),
        ("AUTH_PORT", "ports.auth"),
        ("DOCUMENT_PORT", "ports.document"),
        ("EMBEDDING_PORT", "ports.embedding"),
        ("RETRIEVAL_PORT", "ports.retrieval"),
        ("GENERATION_PORT", "ports.generation"),
        ("MODEL_PORT", "ports.model"),
        ("VECTOR_PORT", "ports.vector"),
        ("TELEGRAM_PORT", "ports.telegram"),
        ("ANALYTICS_PORT", "ports.analytics"),
        ("AUTH_SERVICE_URL", "urls.auth"),
        ("DOCUMENT_SERVICE_URL", "urls.document"),
        ("EMBEDDING_SERVICE_URL", "urls.embedding"),
        ("RETRIEVAL_SERVICE_URL", "urls.retrieval"),
        ("GENERATION_SERVICE_URL", "urls.generation"),
        ("MODEL_SERVICE_URL", "urls.model"),
        ("VECTOR_SERVICE_URL", "urls.vector"),
        ("TELEGRAM_SERVICE_URL", "urls.telegram"),
        ("ANALYTICS_SERVICE_URL", "urls.analytics"),
        ("FAULT_ADMIN_KEY", "faults.admin_key"),
        ("DEMO", "demo.enabled"),
        ("DEMO_EMAIL", "demo.email"),
    ];

    fn validate(&self, problems: &mut Problems) {
        for name in self.ports.keys().chain(self.urls.keys()) {
            if let Err(message) = name.parse::<Service>() {
                problems.add("ports", message);
            }
        }
        for service in Service::ALL {
            let named = self.ports.contains_key(service.name());
            problems.check(named, "ports", &format!("names no port for `{service}`"));
        }
        for (name, url) in &self.urls {
            if let Err(error) = url.parse::<touchstone_client::Address>() {
                problems.add(&format!("urls.{name}"), error.to_string());
            }
        }
        problems.check(
            touchstone_events::is_uri(&self.events_uri()),
            "events",
            "must be `memory://` or the brokers of Kafka, `host:port,…` (`KAFKA_BROKERS`)",
        );
        let key = self.service_key.expose().len();
        problems.check(
            key == 0 || key >= 32,
            "service_key",
            "must have at least 32 bytes",
        );
        if key >= 32
            && let Some(why) = credentials::weak_key(self.service_key.expose())
        {
            problems.add("service_key", why);
        }
        let url = self.database_url.expose();
        let known = ["postgres://", "postgresql://"];
        problems.check(
            url.is_empty() || known.iter().any(|scheme| url.starts_with(scheme)),
            "database_url",
            "must begin with `postgres://` (DATABASE_URL)",
        );
        if let Some(why) = credentials::weak_url(url, self.profile == Profile::Production) {
            problems.add("database_url", format!("{why} (DATABASE_URL)"));
        }
        problems.check(
            self.startup_wait <= Duration::from_mins(10),
            "startup_wait",
            "must be at most 10m",
        );
        self.mesh.check(problems);
        let strict = self.profile == Profile::Production;
        self.faults.check(strict, problems);
        let demo = self.demo.enabled && self.profile == Profile::Production;
        problems.check(
            !demo,
            "demo.enabled",
            "is refused in the production profile",
        );
        problems.check(
            self.demo.email.contains('@'),
            "demo.email",
            "must be an address",
        );
    }
}

/// The whole configuration: a section per service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The stack itself.
    pub stack: StackConfig,
    /// auth.
    pub auth: touchstone_auth::Config,
    /// document.
    pub document: touchstone_document::Config,
    /// embedding.
    pub embedding: touchstone_embedding::Config,
    /// model.
    pub model: touchstone_model::Config,
    /// vector.
    pub vector: touchstone_vector::Config,
    /// retrieval.
    pub retrieval: touchstone_retrieval::Config,
    /// generation.
    pub generation: touchstone_generation::Config,
    /// analytics.
    pub analytics: touchstone_analytics::Config,
    /// telegram.
    pub telegram: touchstone_telegram::Config,
    /// gateway.
    pub gateway: touchstone_api_gateway::Config,
}

impl Settings {
    /// Reads every section and reports all mistakes of all of them.
    pub fn load(loader: &Loader) -> Result<Self, Error> {
        let mut known = vec![StackConfig::NAME];
        known.extend(Service::ALL.map(Service::name));
        let mut problems = loader.unknown_sections(&known);
        let stack = read::<StackConfig>(loader, &mut problems);
        let auth = read(loader, &mut problems);
        let document = read(loader, &mut problems);
        let embedding = read(loader, &mut problems);
        let model = read(loader, &mut problems);
        let vector = read(loader, &mut problems);
        let retrieval = read(loader, &mut problems);
        let generation = read(loader, &mut problems);
        let analytics = read(loader, &mut problems);
        let telegram = read(loader, &mut problems);
        let gateway = read(loader, &mut problems);
        match (
            stack, auth, document, embedding, model, vector, retrieval, generation, analytics,
            telegram, gateway,
        ) {
            (
                Some(stack),
                Some(auth),
                Some(document),
                Some(embedding),
                Some(model),
                Some(vector),
                Some(retrieval),
                Some(generation),
                Some(analytics),
                Some(telegram),
                Some(gateway),
            ) if problems.is_empty() => Self {
                stack,
                auth,
                document,
                embedding,
                model,
                vector,
                retrieval,
                generation,
                analytics,
                telegram,
                gateway,
            }
            .with_good_logins(),
            _ => Err(Error { problems }),
        }
    }

    /// Refuses servers that anybody could log in to; PostgreSQL's URL is judged in its own section.
    fn with_good_logins(self) -> Result<Self, Error> {
        let strict = self.stack.profile == Profile::Production;
        let mut problems = Vec::new();
        let mut judge = |key: &str, variable: &str, weakness: Option<&str>| {
            problems.extend(weakness.map(|why| format!("`{key}`: {why} ({variable})")));
        };
        let redis = self.gateway.quota.store.expose();
        if redis.starts_with("redis") {
            let weakness = credentials::weak_url(redis, strict);
            judge("gateway.quota.store", "REDIS_URL", weakness);
        }
        let vector = &self.vector;
        if vector.store.starts_with("qdrant") {
            let key = vector.qdrant.api_key.expose();
            let weakness = credentials::weak_login(&vector.store, "", key, strict);
            judge("vector.qdrant.api_key", "QDRANT_API_KEY", weakness);
        }
        let (store, clickhouse) = (&self.analytics.store, &self.analytics.clickhouse);
        if !store.starts_with("sqlite") {
            let password = clickhouse.password.expose();
            let weakness = credentials::weak_login(store, &clickhouse.user, password, strict);
            judge(
                "analytics.clickhouse.password",
                "CLICKHOUSE_PASSWORD",
                weakness,
            );
        }
        if problems.is_empty() {
            Ok(self)
        } else {
            Err(Error { problems })
        }
    }

    /// Every section by name, secrets redacted.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let mut table = toml::Table::new();
        let mut put = |name: &str, value: toml::Value| table.insert(name.to_owned(), value);
        put(StackConfig::NAME, toml::Value::try_from(&self.stack)?);
        put("auth", toml::Value::try_from(&self.auth)?);
        put("document", toml::Value::try_from(&self.document)?);
        put("embedding", toml::Value::try_from(&self.embedding)?);
        put("model", toml::Value::try_from(&self.model)?);
        put("vector", toml::Value::try_from(&self.vector)?);
        put("retrieval", toml::Value::try_from(&self.retrieval)?);
        put("generation", toml::Value::try_from(&self.generation)?);
        put("analytics", toml::Value::try_from(&self.analytics)?);
        put("telegram", toml::Value::try_from(&self.telegram)?);
        put("gateway", toml::Value::try_from(&self.gateway)?);
        toml::to_string_pretty(&table)
    }
}

/// Every plain name of the environment that some section reads; each may end in `_FILE` as well.
pub fn plain_names() -> Vec<&'static str> {
    [
        StackConfig::PLAIN,
        touchstone_auth::Config::PLAIN,
        touchstone_document::Config::PLAIN,
        touchstone_embedding::Config::PLAIN,
        touchstone_model::Config::PLAIN,
        touchstone_vector::Config::PLAIN,
        touchstone_analytics::Config::PLAIN,
        touchstone_telegram::Config::PLAIN,
        touchstone_retrieval::Config::PLAIN,
        touchstone_generation::Config::PLAIN,
        touchstone_api_gateway::Config::PLAIN,
    ]
    .concat()
    .into_iter()
    .map(|(name, _)| name)
    .collect()
}

fn read<S: Section>(loader: &Loader, problems: &mut Vec<String>) -> Option<S> {
    match loader.section() {
        Ok(section) => Some(section),
        Err(error) => {
            problems.extend(error.problems);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
        let environment = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let loaded = Settings::load(&Loader::new().environment(environment));
        loaded.err().map(|error| error.problems).unwrap_or_default()
    }

    #[test]
    fn servers_that_anybody_could_log_in_to_are_refused_without_showing_the_password() {
        let found = problems(&[
            ("REDIS_URL", "redis://:redis@redis:6379"),
            ("QDRANT_URL", "qdrant://qdrant:6334"),
            ("CLICKHOUSE_URL", "http://clickhouse:8123"),
            ("CLICKHOUSE_PASSWORD", "changeme"),
        ]);
        let expected = ["REDIS_URL", "QDRANT_API_KEY", "CLICKHOUSE_PASSWORD"];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (problem, name) in found.iter().zip(expected) {
            assert!(
                problem.contains(name) && !problem.contains("changeme"),
                "{problem}"
            );
        }
        let database = problems(&[("DATABASE_URL", "postgres://app:postgres@db/touchstone")]);
        assert!(database[0].contains("DATABASE_URL"), "{database:?}");
    }

    #[test]
    fn good_passwords_and_servers_of_this_machine_pass() {
        let good = "0f3b77c1d29a4e55";
        let url = format!("redis://:{good}@redis:6379/0");
        let database = format!("postgres://touchstone:{good}@postgres:5432/touchstone");
        assert_eq!(
            problems(&[
                ("DATABASE_URL", &database),
                ("REDIS_URL", &url),
                ("QDRANT_URL", "qdrant://qdrant:6334"),
                ("QDRANT_API_KEY", good),
                ("CLICKHOUSE_URL", "http://clickhouse:8123"),
                ("CLICKHOUSE_PASSWORD", good),
            ]),
            Vec::<String>::new()
        );
        let here = [("REDIS_URL", "redis://127.0.0.1:6379")];
        assert_eq!(problems(&here), Vec::<String>::new());
        let production = [here[0], ("PROFILE", "production"), ("DEMO", "false")];
        assert_eq!(problems(&production).len(), 1);
    }

    #[test]
    fn faults_need_a_good_key_and_no_production() {
        let good = "5f0c3f9e2b7d4a61908e7c6d5b4a39281706f5e4";
        let key = ("FAULT_ADMIN_KEY", good);
        assert_eq!(problems(&[key]), Vec::<String>::new());
        let found = problems(&[key, ("PROFILE", "production"), ("DEMO", "false")]);
        assert!(
            found.len() == 1 && found[0].contains("FAULT_ADMIN_KEY") && !found[0].contains(good),
            "{found:?}"
        );
        for weak in [
            "short",
            "with a space in it, and long enough",
            &"a".repeat(64),
        ] {
            assert_eq!(problems(&[("FAULT_ADMIN_KEY", weak)]).len(), 1, "{weak}");
        }
    }

    #[test]
    fn keys_that_are_short_or_examples_are_refused() {
        assert_eq!(problems(&[("SERVICE_KEY", "short")]).len(), 1);
        assert_eq!(problems(&[("SERVICE_KEY", &"a".repeat(64))]).len(), 1);
        assert_eq!(problems(&[("JWT_SECRET_KEY", &"0123".repeat(16))]).len(), 1);
    }
}
