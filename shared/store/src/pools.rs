//! What metrics tell of the pools of a service: how many connections there are and may be, how many of
//! them wait for work, and how long work waits for them.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use touchstone_telemetry::{LATENCY_SECONDS, Scope};

tokio::task_local! {
    static OPENED: Pools;
}

/// The pools that a service has opened.
#[derive(Clone, Debug, Default)]
pub struct Pools(Arc<Mutex<Vec<Pool>>>);

/// One of them.
struct Pool {
    name: &'static str,
    most: u32,
    /// Connections that are open, and those of them that are idle.
    look: Box<dyn Fn() -> (u32, usize) + Send + Sync>,
    /// None where that is not known.
    waits: Option<Waits>,
}

/// How long work has waited for a connection of a pool.
#[derive(Clone, Debug)]
pub(crate) struct Waits(Histogram);

impl Default for Waits {
    fn default() -> Self {
        Self(Histogram::new(LATENCY_SECONDS))
    }
}

impl Waits {
    /// Work waited so long, in vain or not.
    pub fn record(&self, time: Duration) {
        self.0.observe(time.as_secs_f64());
    }
}

impl Pools {
    /// Builds a service, and notes the pools that it opens meanwhile.
    pub async fn noting<F: Future>(build: F) -> (F::Output, Self) {
        let pools = Self::default();
        let built = OPENED.scope(pools.clone(), build).await;
        (built, pools)
    }

    /// Shows them among the metrics of the service, if there are any; once for each service.
    pub fn show(self, scope: &Scope) {
        let is_none = {
            let pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            pools.is_empty()
        };
        if !is_none {
            scope.collect(Box::new(self));
        }
    }
}

/// Notes a pool, when somebody wants to know.
pub(crate) fn opened(
    name: &'static str,
    most: u32,
    waits: Option<&Waits>,
    look: impl Fn() -> (u32, usize) + Send + Sync + 'static,
) {
    let _ = OPENED.try_with(|pools| {
        let mut pools = pools.0.lock().unwrap_or_else(PoisonError::into_inner);
        pools.push(Pool {
            name,
            most,
            look: Box::new(look),
            waits: waits.cloned(),
        });
    });
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    pool: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Counted {
    pool: &'static str,
    state: &'static str,
}

impl Collector for Pools {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let help =
            "Connections to the database that are open, by pool and by whether they do something";
        let mut family =
            encoder.encode_descriptor("database_connections", help, None, MetricType::Gauge)?;
        for pool in &*pools {
            let (open, idle) = (pool.look)();
            let idle = i64::try_from(idle).unwrap_or(i64::MAX).min(i64::from(open));
            for (state, count) in [("busy", i64::from(open) - idle), ("idle", idle)] {
                let name = pool.name;
                let labels = Counted { pool: name, state };
                ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Connections to the database that there may be, by pool";
        let mut family = encoder.encode_descriptor(
            "database_connections_limit",
            help,
            None,
            MetricType::Gauge,
        )?;
        for pool in &*pools {
            let limit = ConstGauge::new(i64::from(pool.most));
            limit.encode(family.encode_family(&Of { pool: pool.name })?)?;
        }
        let help = "Time that work waits for a connection to the database, by pool";
        let name = "database_wait_seconds";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (pool, waits) in pools
            .iter()
            .filter_map(|own| Some((own, own.waits.as_ref()?)))
        {
            let labels = Of { pool: pool.name };
            waits.0.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use sqlx::migrate::Migrator;
    use touchstone_telemetry::Metrics;

    use super::*;
    use crate::sqlite::Database;

    fn value(text: &str, series: &str) -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap_or_else(|| panic!("no {series} in {text}"))
            .trim()
            .parse()
            .unwrap()
    }

    #[tokio::test]
    async fn connections_and_waits_are_shown_for_each_pool_that_was_opened() {
        let migrator = Migrator::with_migrations(Vec::new());
        let metrics = Metrics::new();
        let scope = metrics.scope("sample");
        let (db, pools) = Pools::noting(Database::open("sqlite::memory:", &migrator)).await;
        let db = db.unwrap();
        pools.show(&scope);
        let held = db.begin().await.unwrap();
        let text = scope.encode();
        let busy = |pool| {
            let labels = format!("{{pool=\"{pool}\",state=\"busy\"}}");
            value(
                &text,
                &format!("touchstone_sample_database_connections{labels}"),
            )
        };
        assert_eq!((busy("writer"), busy("readers")), (1, 0));
        let limit = "touchstone_sample_database_connections_limit{pool=\"readers\"}";
        assert_eq!(value(&text, limit), 4);
        let waits = "touchstone_sample_database_wait_seconds_count{pool=\"writer\"}";
        assert_eq!(value(&text, waits), 1);
        assert!(
            !text.contains("wait_seconds_count{pool=\"readers\"}"),
            "{text}"
        );
        drop(held);
        db.close().await;
        let text = scope.encode();
        let open = "touchstone_sample_database_connections{pool=\"writer\",state=\"busy\"}";
        assert_eq!(value(&text, open), 0);
    }

    #[tokio::test]
    async fn a_service_without_a_database_shows_nothing_of_one() {
        let metrics = Metrics::new();
        let ((), pools) = Pools::noting(async {}).await;
        pools.show(&metrics.scope("sample"));
        assert!(!metrics.scope("sample").encode().contains("database"));
    }
}
