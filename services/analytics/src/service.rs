use std::sync::Arc;

use moka::future::Cache;
use touchstone_api::analytics::{Stats, StatsDay, StatsPeriod, StatsTotals};
use touchstone_identity::Caller;
use touchstone_types::{Clock, Role};
use touchstone_web::HealthReport;

use crate::config::{Collector, Config};
use crate::domain::{Span, View, made_up};
use crate::error::Error;
use crate::store::{Collected, Store};

/// Answers that are kept.
const CACHED: u64 = 1024;

/// The service: what was recorded becomes numbers.
#[derive(Clone, Debug)]
pub struct Analytics {
    source: Source,
    cache: Cache<(View, StatsPeriod), Arc<Stats>>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone, Debug)]
enum Source {
    Store(Arc<dyn Store>),
    MadeUp(u64),
}

impl Analytics {
    /// A service on a store; none for made-up numbers.
    pub fn new(config: &Config, store: Option<Arc<dyn Store>>, clock: Arc<dyn Clock>) -> Self {
        let source = match store.filter(|_| config.collector == Collector::Store) {
            Some(store) => Source::Store(store),
            None => Source::MadeUp(config.mock_seed),
        };
        let cache = Cache::builder()
            .max_capacity(CACHED)
            .time_to_live(config.cache)
            .build();
        Self {
            source,
            cache,
            clock,
        }
    }

    /// The statistics that a caller may see, and how many seconds ago they were collected.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn stats(
        &self,
        caller: &Caller,
        period: StatsPeriod,
    ) -> Result<(Arc<Stats>, u64), Error> {
        let view = view(caller);
        if touchstone_faults::cache_is_lost() {
            self.cache.invalidate(&(view, period)).await;
        }
        let collect = self.collect(view, period);
        let stats = self
            .cache
            .try_get_with((view, period), collect)
            .await
            .map_err(Error::Collect)?;
        let age = (self.clock.now() - stats.until).num_seconds();
        Ok((stats, age.max(0).unsigned_abs()))
    }

    async fn collect(&self, view: View, period: StatsPeriod) -> Result<Arc<Stats>, Error> {
        let span = Span::back(period, self.clock.now());
        Ok(Arc::new(match &self.source {
            Source::MadeUp(seed) => made_up(*seed, view, period, span),
            Source::Store(store) => told(view, period, span, store.collect(view, span).await?),
        }))
    }

    /// How it is.
    pub async fn health(&self) -> HealthReport {
        let (backend, answers) = match &self.source {
            Source::MadeUp(_) => ("mock", true),
            Source::Store(store) => (store.name(), store.ping().await.is_ok()),
        };
        HealthReport::healthy()
            .with("backend", backend)
            .with("store_connected", answers)
            .degraded_unless(answers)
    }
}

/// Every registered user administers a tenant, so no user sees beyond one; a service at its own
/// work, which is how an operator asks, sees everything but questions.
fn view(caller: &Caller) -> View {
    if caller.is_service() && caller.user.as_uuid().is_nil() {
        View::Everything
    } else if caller.role == Role::Admin {
        View::Admin(caller.tenant)
    } else {
        View::Member(caller.tenant)
    }
}

fn told(view: View, period: StatsPeriod, span: Span, collected: Collected) -> Stats {
    let mut totals = StatsTotals::default();
    let mut days = span.days();
    for (date, sums) in &collected.days {
        totals.requests += sums.requests;
        totals.errors += sums.errors;
        totals.queries += sums.queries;
        totals.queries_without_hits += sums.queries_without_hits;
        totals.documents_indexed += sums.documents_indexed;
        totals.documents_failed += sums.documents_failed;
        if let Some(day) = days.iter_mut().find(|day| day.date == *date) {
            *day = StatsDay {
                date: *date,
                requests: sums.requests,
                errors: sums.errors,
                queries: sums.queries,
                documents_indexed: sums.documents_indexed,
            };
        }
    }
    Stats {
        period,
        scope: view.scope(),
        collector: "store".to_owned(),
        since: span.since,
        until: span.until,
        totals,
        days,
        top_channels: collected.top_channels,
        top_queries: collected.top_queries,
        latency: collected.latency,
    }
}
