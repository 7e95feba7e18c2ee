use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use touchstone_api::analytics::{Stats, StatsItem, StatsLatency, StatsPeriod, StatsTotals};

use super::{Span, View};

const CHANNELS: [&str; 6] = ["news", "science", "weather", "markets", "sport", "music"];
const QUESTIONS: [&str; 6] = [
    "how do i reset my password",
    "opening hours",
    "what is new this week",
    "refund policy",
    "как вернуть товар",
    "shipping to canada",
];

/// Numbers that look like a day at work: the same for the same seed, view, period and days.
pub fn made_up(seed: u64, view: View, period: StatsPeriod, span: Span) -> Stats {
    let tenant = view.tenant().map_or(0, |tenant| {
        let (high, low) = tenant.as_uuid().as_u64_pair();
        high ^ low
    });
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ tenant ^ ((period as u64) << 56));
    let mut days = span.days();
    let mut totals = StatsTotals::default();
    for day in &mut days {
        day.requests = rng.random_range(800..2400);
        day.errors = rng.random_range(0..=day.requests / 200);
        day.queries = day.requests / rng.random_range(3..6);
        day.documents_indexed = rng.random_range(5..60);
        totals.requests += day.requests;
        totals.errors += day.errors;
        totals.queries += day.queries;
        totals.documents_indexed += day.documents_indexed;
    }
    totals.queries_without_hits = totals.queries / 20;
    totals.documents_failed = totals.documents_indexed / 50;
    let mut top = |names: &[&str], most: u64| -> Vec<StatsItem> {
        let mut count = most;
        let item = |name: &&str| {
            count = count * rng.random_range(55..90) / 100;
            StatsItem {
                name: (*name).to_owned(),
                count,
            }
        };
        names.iter().map(item).collect()
    };
    let top_channels = top(&CHANNELS, totals.requests / 4);
    let mut top_queries = top(&QUESTIONS, totals.queries / 8);
    if !view.tells_queries() {
        top_queries.clear();
    }
    let p50 = rng.random_range(3.0..9.0);
    Stats {
        period,
        scope: view.scope(),
        collector: "mock".to_owned(),
        since: span.since,
        until: span.until,
        totals,
        days,
        top_channels,
        top_queries,
        latency: StatsLatency {
            p50_ms: p50,
            p90_ms: p50 * 2.5,
            p95_ms: p50 * 4.0,
            p99_ms: p50 * 9.0,
            max_ms: p50 * 30.0,
        },
    }
}

#[cfg(test)]
mod tests {
    use touchstone_types::{Clock, FrozenClock, TenantId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_numbers_and_they_add_up() {
        let span = Span::back(StatsPeriod::Week, FrozenClock::default().now());
        let view = View::Admin(TenantId::from_uuid(Uuid::from_u128(5)));
        let stats = made_up(42, view, StatsPeriod::Week, span);
        assert_eq!(stats, made_up(42, view, StatsPeriod::Week, span));
        assert_ne!(stats, made_up(43, view, StatsPeriod::Week, span));
        let sum: u64 = stats.days.iter().map(|day| day.requests).sum();
        assert_eq!(sum, stats.totals.requests);
        assert!(stats.top_queries.is_sorted_by(|a, b| a.count >= b.count));
        assert!(stats.latency.p50_ms < stats.latency.p99_ms);
        assert!(
            made_up(42, View::Everything, StatsPeriod::Week, span)
                .top_queries
                .is_empty()
        );
    }
}
