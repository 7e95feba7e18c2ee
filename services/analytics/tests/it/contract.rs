//! What every store must do. One suite, run on all of them.

use std::time::Duration;

use touchstone_analytics::domain::View;
use touchstone_analytics::store::{Collected, Store};
use touchstone_api::analytics::{Record, StatsItem, StatsLatency};
use touchstone_types::DocumentStatus;

use crate::fixtures::*;

macro_rules! contract_suite {
    ($($backend:ident),+ => $rules:tt) => { $(contract_suite!(@ $backend $rules);)+ };
    (@ $backend:ident [$($rule:ident),+ $(,)?]) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $rule() {
                    if let Some(opened) = crate::fixtures::$backend().await {
                        super::$rule(&*opened.store).await;
                    }
                }
            )+
        }
    };
}

contract_suite!(sqlite_memory, sqlite_file, clickhouse => [
    an_empty_store_tells_nothing,
    records_are_counted_by_day_and_by_tenant,
    a_batch_that_comes_again_counts_once,
    questions_are_told_to_administrators_only,
    the_most_frequent_come_first_and_ten_at_most,
    percentiles_are_exact_times_at_their_ranks,
    a_span_is_half_open,
]);

fn admin() -> View {
    View::Admin(tenant(1))
}

async fn an_empty_store_tells_nothing(store: &dyn Store) {
    store.ping().await.unwrap();
    for view in [admin(), View::Everything] {
        let collected = store.collect(view, day()).await.unwrap();
        assert_eq!(collected, Collected::default());
    }
}

async fn records_are_counted_by_day_and_by_tenant(store: &dyn Store) {
    let yesterday = |mut record: Record| {
        let earlier = Duration::from_hours(24);
        match &mut record {
            Record::Request(it) => it.at -= earlier,
            Record::Query(it) => it.at -= earlier,
            Record::Ingestion(it) => it.at -= earlier,
        }
        record
    };
    let (one, two) = (tenant(1), tenant(2));
    let records = vec![
        request(Some(one), 200, 10),
        request(Some(one), 503, 20),
        request(Some(two), 500, 30),
        request(None, 401, 40),
        yesterday(request(Some(one), 200, 50)),
        query(one, Some("a"), 3),
        query(one, None, 0),
        yesterday(query(one, Some("b"), 0)),
        query(two, Some("c"), 1),
        ingestion(one, DocumentStatus::Queued),
        ingestion(one, DocumentStatus::Indexed),
        ingestion(one, DocumentStatus::Failed),
        yesterday(ingestion(two, DocumentStatus::Indexed)),
    ];
    store.insert(&batch(1, records)).await.unwrap();
    let collected = store.collect(admin(), month()).await.unwrap();
    let today = at().date_naive();
    let (before, now) = (
        collected.days[&today.pred_opt().unwrap()],
        collected.days[&today],
    );
    assert_eq!(collected.days.len(), 2);
    assert_eq!((now.requests, now.errors), (2, 1));
    assert_eq!((now.queries, now.queries_without_hits), (2, 1));
    assert_eq!((now.documents_indexed, now.documents_failed), (1, 1));
    assert_eq!((before.requests, before.errors, before.queries), (1, 0, 1));
    assert_eq!(before.documents_indexed, 0);

    let all = store.collect(View::Everything, month()).await.unwrap();
    let (before, now) = (all.days[&today.pred_opt().unwrap()], all.days[&today]);
    assert_eq!((now.requests, now.errors, now.queries), (4, 2, 3));
    assert_eq!(before.documents_indexed, 1);
}

async fn a_batch_that_comes_again_counts_once(store: &dyn Store) {
    let records = vec![
        request(Some(tenant(1)), 200, 10),
        request(Some(tenant(1)), 200, 10),
        query(tenant(1), Some("again"), 1),
        ingestion(tenant(1), DocumentStatus::Indexed),
    ];
    for _ in 0..3 {
        store.insert(&batch(1, records.clone())).await.unwrap();
    }
    store.insert(&batch(2, records)).await.unwrap();
    let collected = store.collect(admin(), day()).await.unwrap();
    let now = collected.days[&at().date_naive()];
    assert_eq!(
        (now.requests, now.queries, now.documents_indexed),
        (4, 2, 2)
    );
}

async fn questions_are_told_to_administrators_only(store: &dyn Store) {
    let records = vec![
        query(tenant(1), Some("ours"), 1),
        query(tenant(1), None, 1),
        query(tenant(2), Some("theirs"), 1),
    ];
    store.insert(&batch(1, records)).await.unwrap();
    let told = async |view| store.collect(view, day()).await.unwrap().top_queries;
    let ours = [StatsItem {
        name: "ours".to_owned(),
        count: 1,
    }];
    assert_eq!(told(admin()).await, ours);
    assert_eq!(told(View::Member(tenant(1))).await, []);
    assert_eq!(told(View::Everything).await, []);
}

async fn the_most_frequent_come_first_and_ten_at_most(store: &dyn Store) {
    let mut records = Vec::new();
    for number in 0..12_u32 {
        // Two of each count, so that names decide.
        for _ in 0..=number / 2 {
            records.push(about_channel(tenant(1), &format!("channel{number:02}")));
            records.push(query(tenant(1), Some(&format!("вопрос {number:02}")), 1));
        }
    }
    records.push(about_channel(tenant(2), "foreign"));
    store.insert(&batch(1, records)).await.unwrap();
    let collected = store.collect(admin(), day()).await.unwrap();
    let expected = |prefix: &str| -> Vec<StatsItem> {
        [10, 11, 8, 9, 6, 7, 4, 5, 2, 3]
            .map(|number| StatsItem {
                name: format!("{prefix}{number:02}"),
                count: number / 2 + 1,
            })
            .into()
    };
    assert_eq!(collected.top_channels, expected("channel"));
    assert_eq!(collected.top_queries, expected("вопрос "));
}

async fn percentiles_are_exact_times_at_their_ranks(store: &dyn Store) {
    let times = (1..=200_u64)
        .rev()
        .map(|n| request(Some(tenant(1)), 200, n * 1000));
    let mut records: Vec<_> = times.collect();
    records.push(request(Some(tenant(2)), 200, 9_000_000));
    store.insert(&batch(1, records)).await.unwrap();
    let latency = store.collect(admin(), day()).await.unwrap().latency;
    let expected = StatsLatency {
        p50_ms: 101.0,
        p90_ms: 181.0,
        p95_ms: 191.0,
        p99_ms: 199.0,
        max_ms: 200.0,
    };
    assert_eq!(latency, expected);
    let one = store
        .collect(View::Member(tenant(2)), day())
        .await
        .unwrap()
        .latency;
    assert_eq!(
        (one.p50_ms, one.p99_ms, one.max_ms),
        (9000.0, 9000.0, 9000.0)
    );
}

async fn a_span_is_half_open(store: &dyn Store) {
    let span = day();
    let moved = |time| match request(Some(tenant(1)), 200, 1) {
        Record::Request(mut record) => {
            record.at = time;
            Record::Request(record)
        }
        other => other,
    };
    let just = Duration::from_micros(1);
    let records = [span.since - just, span.since, span.until - just, span.until].map(moved);
    store.insert(&batch(1, records.into())).await.unwrap();
    let collected = store.collect(admin(), span).await.unwrap();
    let requests: u64 = collected.days.values().map(|sums| sums.requests).sum();
    assert_eq!(requests, 2);
}

#[tokio::test]
async fn old_records_are_forgotten_in_sqlite() {
    let opened = sqlite_memory().await.unwrap();
    let records = vec![
        request(Some(tenant(1)), 200, 1),
        query(tenant(1), Some("x"), 1),
    ];
    opened.store.insert(&batch(1, records)).await.unwrap();
    let count = async || {
        opened
            .store
            .collect(admin(), day())
            .await
            .unwrap()
            .days
            .len()
    };
    opened.store.forget_before(at()).await.unwrap();
    assert_eq!(count().await, 1);
    opened.store.forget_before(now()).await.unwrap();
    assert_eq!(count().await, 0);
}
