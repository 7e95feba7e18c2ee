use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use touchstone_test_services::{Exclusive, Server};

use super::deployment::Environment;

/// Parts of the shared servers that this process has used.
static PARTS: AtomicU32 = AtomicU32::new(0);

/// The servers of a distributed deployment. Qdrant is used where there is one.
pub struct Servers {
    postgres: String,
    redis: String,
    kafka: String,
    qdrant: Option<String>,
    /// What a suite of faults may kill.
    pub own: Option<Own>,
}

/// Servers that belong to one test.
pub struct Own {
    pub postgres: Exclusive,
    pub redis: Exclusive,
    pub kafka: Exclusive,
    pub qdrant: Option<Exclusive>,
}

impl Own {
    /// `None` after a line on standard error if one is missing; Qdrant may be.
    pub async fn start() -> Option<Self> {
        Some(Self {
            postgres: Exclusive::postgres().await?,
            redis: Exclusive::redis().await?,
            kafka: Exclusive::kafka().await?,
            qdrant: Exclusive::qdrant().await,
        })
    }
}

impl Servers {
    /// Servers that others use, too; `None` after a line on standard error if one is missing.
    pub async fn shared() -> Option<Self> {
        let postgres = touchstone_test_services::postgres_database().await?;
        let redis = touchstone_test_services::redis().await?;
        let kafka = touchstone_test_services::kafka().await?;
        let qdrant = touchstone_test_services::qdrant().await;
        let qdrant = qdrant.as_ref().map(Server::url);
        Some(Self {
            postgres,
            redis: redis.url().to_owned(),
            kafka: kafka.url().to_owned(),
            qdrant: qdrant.map(|url| url.replacen("http", "qdrant", 1)),
            own: None,
        })
    }

    /// Servers of one test; `None` after a line on standard error if one is missing.
    pub async fn exclusive() -> Option<Self> {
        Some(Self::of(Own::start().await?))
    }

    pub fn of(own: Own) -> Self {
        let qdrant = own.qdrant.as_ref().map(Exclusive::url);
        Self {
            postgres: own.postgres.url().to_owned(),
            redis: own.redis.url().to_owned(),
            kafka: own.kafka.url().to_owned(),
            qdrant: qdrant.map(|url| url.replacen("http", "qdrant", 1)),
            own: Some(own),
        }
    }

    /// Whether points are in Qdrant.
    pub const fn has_qdrant(&self) -> bool {
        self.qdrant.is_some()
    }

    /// Their addresses as the services want them, in a part of each that no other test uses.
    pub fn environment(&self) -> Environment {
        let number = PARTS.fetch_add(1, Ordering::SeqCst);
        let part = format!("e2e-{}-{number}", std::process::id());
        let brokers = format!("{}?prefix={part}.", self.kafka);
        let mut all = vec![
            ("DATABASE_URL", self.postgres.clone()),
            ("REDIS_URL", self.redis.clone()),
            ("KAFKA_BROKERS", brokers),
            // What a killed worker held waits for its lease, by default for minutes.
            ("TOUCHSTONE_DOCUMENT__INGEST__LEASE", "25s".to_owned()),
            (
                "TOUCHSTONE_DOCUMENT__INGEST__PARSE_DEADLINE",
                "20s".to_owned(),
            ),
            (
                "TOUCHSTONE_DOCUMENT__INGEST__EMBED_DEADLINE",
                "15s".to_owned(),
            ),
            (
                "TOUCHSTONE_DOCUMENT__INGEST__INDEX_DEADLINE",
                "15s".to_owned(),
            ),
            // The suites are heavier than what one user may do, from one address.
            (
                "TOUCHSTONE_GATEWAY__QUOTA__LIMITS__ADDRESS__PER_SECOND",
                "0".to_owned(),
            ),
            ("RATE_LIMIT_PER_MINUTE", "1000000".to_owned()),
            ("RATE_LIMIT_PER_HOUR", "10000000".to_owned()),
            ("RATE_LIMIT_PER_DAY", "100000000".to_owned()),
        ];
        if let Some(qdrant) = &self.qdrant {
            all.push(("QDRANT_URL", qdrant.clone()));
            all.push(("TOUCHSTONE_VECTOR__QDRANT__PREFIX", part));
        }
        let owned = |(name, value): (&str, String)| (name.to_owned(), value);
        Environment {
            all: all.into_iter().map(owned).collect(),
            ..Environment::default()
        }
    }
}

/// Address of a port of this machine.
pub fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}
